package sshwire

import (
	"errors"
	"fmt"
)

// Global requests between an agent and funnel-relay, by which the agent says that it
// is the one that was there before. Any other SSH server fails them without a word
// (RFC 4254 §4).
const (
	// RequestAnnounce comes before the first forward of a link: an Announce,
	// answered by an Announced. The relay keeps what belongs to the instance
	// for a while when the link is lost; the next link that announces it goes on
	// with it, and replaces the one before if that is still there. Where the
	// one before announces it afterwards, that was held up on its way: it fails.
	RequestAnnounce = "announce@funnel.internal"

	// RequestUnbound comes from the relay: a port that the link has isn't the
	// agent's any more. Its payload is a ForwardRequest, as of the forward, with
	// the port that was bound; it wants no answer. Why, the agent learns by asking
	// for the forward again.
	RequestUnbound = "unbound@funnel.internal"

	// RequestLeave says that the agent goes for good: the relay closes its ports
	// at once. It has no payload. Any answer means that this was done.
	RequestLeave = "leave@funnel.internal"
)

// IDSize is the length in bytes of an agent's ID and of an instance.
const IDSize = 16

// Announce says who an agent is. Encode it with ssh.Marshal.
type Announce struct {
	Agent      string // IDSize bytes, the same whenever the agent runs: its ID
	Generation uint64 // higher each time it is started: takes ports from lower ones
	Instance   string // IDSize bytes, drawn each time it is started
	Resume     uint32 // for how many seconds conns may outlive a link; 0: not at all
}

// Announced answers an Announce. Encode it with ssh.Marshal.
type Announced struct {
	Known bool   // the relay has what this instance had before
	Grace uint32 // for how many seconds it is kept without a link
}

// ParseAnnounce decodes the payload of RequestAnnounce.
func ParseAnnounce(payload []byte) (Announce, error) {
	var m Announce
	err := parse(payload, &m)
	if err == nil {
		err = errors.Join(checkID("agent", m.Agent), checkID("instance", m.Instance))
	}
	return m, wrap(RequestAnnounce, err)
}

// ParseAnnounced decodes the answer to an Announce.
func ParseAnnounced(payload []byte) (Announced, error) {
	var m Announced
	err := parse(payload, &m)
	if err == nil && payload[0] > 1 {
		err = errors.New("a boolean is neither 0 nor 1") // RFC 4251 §5
	}
	return m, wrap("answer to "+RequestAnnounce, err)
}

func checkID(what, text string) error {
	if len(text) != IDSize {
		return fmt.Errorf("%s of %d bytes instead of %d", what, len(text), IDSize)
	}
	return nil
}
