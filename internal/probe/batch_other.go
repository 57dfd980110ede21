//go:build !linux

package probe

import (
	"net"
	"net/netip"
)

const batchSize = 1

// batch is one datagram where the system has no call for many.
type batch struct {
	conn *net.UDPConn
	b    []byte
	n    int
	from netip.AddrPort
}

func newBatch(conn *net.UDPConn) *batch { return &batch{conn: conn, b: make([]byte, MaxSize)} }

// receive waits for a datagram.
func (b *batch) receive() error {
	var err error
	b.n, b.from, err = b.conn.ReadFromUDPAddrPort(b.b)
	return err
}

// reply sends it back to where it came from.
func (b *batch) reply() { _, _ = b.conn.WriteToUDPAddrPort(b.b[:b.n], b.from) }

// each calls f for the datagram received.
func (b *batch) each(f func(payload []byte)) { f(b.b[:b.n]) }

// send sends the first payload to the connected peer.
func (b *batch) send(payloads [][]byte) (int, error) {
	if _, err := b.conn.Write(payloads[0]); err != nil {
		return 0, err
	}
	return 1, nil
}
