package checkup

import (
	"bytes"
	"net"
	"slices"

	"funnel/internal/probe"
)

// signed is a connected UDP socket to a test port: every datagram begins with
// the token, which its user doesn't see. One goroutine may write and one read.
type signed struct {
	net.Conn
	token   []byte
	out, in []byte // the writer's, the reader's
}

func newSigned(conn net.Conn, token []byte) *signed {
	return &signed{Conn: conn, token: slices.Clone(token), in: make([]byte, probe.MaxSize+1)}
}

// Write sends p behind the token.
func (s *signed) Write(p []byte) (int, error) {
	s.out = append(append(s.out[:0], s.token...), p...)
	n, err := s.Conn.Write(s.out)
	return max(0, n-len(s.token)), err
}

// Read receives a datagram and leaves its token out. One that doesn't begin with
// it isn't of the test port, and counts as empty.
func (s *signed) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(s.in)
	rest, ok := bytes.CutPrefix(s.in[:n], s.token)
	if err != nil || !ok {
		return 0, err
	}
	return copy(p, rest), nil
}
