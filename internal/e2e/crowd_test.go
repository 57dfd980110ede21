//go:build linux

package e2e

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// crowd is a socket that sends from any address of loopback, all of which are
// this machine's, and gets the answers to all of them: players by the thousands,
// or sources that are forged.
type crowd struct {
	conn    *net.UDPConn
	packets *ipv4.PacketConn
	batch   []ipv4.Message // to be sent
	to      *net.UDPAddr
	read    []ipv4.Message
}

// crowdBatch is how many datagrams go with one system call.
const crowdBatch = 64

// openCrowd opens a crowd that speaks to one address.
func openCrowd(to netip.AddrPort) (*crowd, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(8 << 20) // what the system gives; what is lost is asked for again
	c := &crowd{conn: conn, packets: ipv4.NewPacketConn(conn), to: net.UDPAddrFromAddrPort(to)}
	if err := c.packets.SetControlMessage(ipv4.FlagDst, true); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.read = make([]ipv4.Message, crowdBatch)
	for i := range c.read {
		c.read[i] = ipv4.Message{Buffers: [][]byte{make([]byte, 2048)}, OOB: make([]byte, 128)}
	}
	return c, nil
}

// say queues a datagram from an address; full says that the batch is to be sent.
func (c *crowd) say(from netip.Addr, payload []byte) (full bool) {
	c.batch = append(c.batch, ipv4.Message{
		Buffers: [][]byte{payload}, OOB: (&ipv4.ControlMessage{Src: from.AsSlice()}).Marshal(), Addr: c.to,
	})
	return len(c.batch) >= crowdBatch
}

// flush sends what is queued. What the kernel doesn't take is lost.
func (c *crowd) flush() (sent int, err error) {
	defer func() { c.batch = c.batch[:0] }()
	for sent < len(c.batch) {
		n, err := c.packets.WriteBatch(c.batch[sent:], 0)
		if err != nil {
			return sent, err
		}
		sent += n
	}
	return sent, nil
}

// hear calls f with each answer and whom it was for, until the crowd is closed
// or its read deadline is over.
func (c *crowd) hear(f func(to netip.Addr, payload []byte)) error {
	var control ipv4.ControlMessage
	for {
		n, err := c.packets.ReadBatch(c.read, 0)
		if err != nil {
			return err
		}
		for _, m := range c.read[:n] {
			if err := control.Parse(m.OOB[:m.NN]); err != nil {
				return err
			}
			to, _ := netip.AddrFromSlice(control.Dst.To4())
			f(to, m.Buffers[0][:m.N])
		}
	}
}

func (c *crowd) close() { c.conn.Close() }

// member is the n-th address of a crowd, 127.block.0.0 and on: 256 of them are
// one network to the relay.
func member(block byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, block + byte(n>>16), byte(n >> 8), byte(n)})
}
