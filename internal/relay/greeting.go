package relay

import (
	"errors"

	"funnel/internal/sshwire"
)

// greetingBegins is how a client's first line begins: it sends no other before it
// (RFC 4253 §4.2).
const greetingBegins = "SSH-"

var errNotSSH = errors.New("what the client says isn't SSH")

// greeting is the connection of a client that has not said anything yet. Reading
// fails with the first byte that isn't SSH. Left to x/crypto/ssh, whatever else
// finds the port, web browsers and scanners above all, would have a place among
// the logins until their time is over.
type greeting struct {
	*sshwire.Lifeline
	seen int // bytes of greetingBegins; owned by the one who reads
}

func (g *greeting) Read(p []byte) (int, error) {
	n, err := g.Lifeline.Read(p)
	for i := 0; i < n && g.seen < len(greetingBegins); i++ {
		if p[i] != greetingBegins[g.seen] {
			return 0, errNotSSH
		}
		g.seen++
	}
	return n, err
}
