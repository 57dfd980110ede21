package sshwire

import (
	"strings"
)

// A Refusal is why a relay refused a forward. Relays put it into the data of
// SSH_MSG_REQUEST_FAILURE, which RFC 4254 §4 leaves empty; so they do it for
// funnel's agents alone, which [IsAgent] tells.
type Refusal struct {
	// Final says that asking again won't help, unless somebody changes what
	// the key may do.
	Final bool

	// Outlived says that the same agent, started again later, has the port. It is
	// final, too.
	Outlived bool

	// Reason is a sentence for people.
	Reason string
}

// Words that begin the text of a final refusal.
const (
	forbidden = "forbidden: "
	outlived  = "outlived: "
)

// Append appends the refusal as it goes over the wire: its reason, after the word
// "outlived", or "forbidden" if it is final otherwise. Long reasons are cut.
func (r Refusal) Append(b []byte) []byte {
	switch {
	case r.Outlived:
		b = append(b, outlived...)
	case r.Final:
		b = append(b, forbidden...)
	}
	return append(b, cut(r.Reason)...)
}

// ParseRefusal reads a refusal. There is none, and ok is false, in an empty
// payload, as other servers send it. The reason is valid UTF-8 and of bounded
// length, but may hold characters unfit for a terminal: the peer chose it.
func ParseRefusal(payload []byte) (r Refusal, ok bool) {
	if r.Reason, r.Outlived = strings.CutPrefix(string(payload), outlived); r.Outlived {
		r.Final = true
	} else {
		r.Reason, r.Final = strings.CutPrefix(r.Reason, forbidden)
	}
	r.Reason = cut(r.Reason)
	return r, len(payload) > 0
}

// cut bounds a reason without leaving half a character at its end.
func cut(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return strings.ToValidUTF8(reason, "")
}
