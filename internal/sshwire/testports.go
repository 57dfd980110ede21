package sshwire

import (
	"errors"
	"fmt"
)

// RequestTestPorts is a global request of funnel's own: an agent asks for a pair
// of public test ports, on which the relay itself answers, so that the path to
// the relay can be measured without what the funnel adds. It has no payload. A
// relay that grants it answers with a TestPorts, one that refuses with a Refusal;
// any other SSH server fails it without a word (RFC 4254 §4).
//
// A connection to the TCP port begins with the token, and then a byte that says
// what it is for: 'e' for an echo of all that follows; 'u' for bytes to be
// counted, whose total so far comes back now and then as 8 bytes, big endian; 'd'
// for bytes without end. A datagram to the UDP port begins with the token and is
// sent back as it is. Whoever comes from another address than the link, or
// without the token, gets no answer.
//
// There is one pair for a link: to ask again closes the one before.
const RequestTestPorts = "test-ports@funnel.internal"

// TestTokenSize is the length in bytes of a TestPorts' token.
const TestTokenSize = 16

// TestPorts answers RequestTestPorts. Encode it with ssh.Marshal.
type TestPorts struct {
	TCPPort uint32 // 0 if there is none
	UDPPort uint32 // 0 if there is none; one of the two is there
	Seconds uint32 // until the ports close by themselves
	Token   string // TestTokenSize bytes
	Note    string // why a port isn't there, for people
}

// ParseTestPorts decodes the answer to RequestTestPorts. The ports are at most
// 65535 and not both 0, the token is TestTokenSize bytes long.
func ParseTestPorts(payload []byte) (TestPorts, error) {
	var m TestPorts
	err := parse(payload, &m)
	if err == nil {
		err = errors.Join(checkPort(m.TCPPort, 0), checkPort(m.UDPPort, 0), checkNote(m.Note))
	}
	switch {
	case err != nil:
	case m.TCPPort == 0 && m.UDPPort == 0:
		err = errors.New("no port")
	case len(m.Token) != TestTokenSize:
		err = fmt.Errorf("a token of %d bytes instead of %d", len(m.Token), TestTokenSize)
	}
	return m, wrap("answer to "+RequestTestPorts, err)
}

// checkNote lets through what checkText does, at a refusal's length.
func checkNote(note string) error {
	if len(note) > maxReason {
		return fmt.Errorf("a note of %d bytes is longer than %d", len(note), maxReason)
	}
	return checkCharacters(note)
}
