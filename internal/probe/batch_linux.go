package probe

import (
	"net"

	"golang.org/x/net/ipv4"
)

// batchSize is how many datagrams go through one system call. Beyond 32 the
// gain is below what can be measured.
const batchSize = 32

// batch receives and sends many datagrams with one system call (recvmmsg(2),
// sendmmsg(2)). x/net's message type is the same for both IP versions.
type batch struct {
	conn     *ipv4.PacketConn
	messages []ipv4.Message
	received int
}

func newBatch(conn *net.UDPConn) *batch {
	b := &batch{conn: ipv4.NewPacketConn(conn), messages: make([]ipv4.Message, batchSize)}
	for i := range b.messages {
		b.messages[i].Buffers = [][]byte{make([]byte, MaxSize)}
	}
	return b
}

// receive waits for at least one datagram.
func (b *batch) receive() error {
	var err error
	b.received, err = b.conn.ReadBatch(b.messages, 0)
	return err
}

// reply sends what was received back to where it came from. What can't be sent
// is lost.
func (b *batch) reply() {
	out := b.messages[:b.received]
	for i := range out {
		out[i].Buffers[0] = out[i].Buffers[0][:out[i].N]
	}
	for rest := out; len(rest) > 0; {
		n, err := b.conn.WriteBatch(rest, 0)
		if err != nil {
			n = 1 // this one can't be sent
		}
		rest = rest[n:]
	}
	for i := range out {
		out[i].Buffers[0] = out[i].Buffers[0][:MaxSize]
	}
}

// each calls f for every datagram received.
func (b *batch) each(f func(payload []byte)) {
	for i := range b.received {
		f(b.messages[i].Buffers[0][:b.messages[i].N])
	}
}

// send sends the same payload to the connected peer up to n times and returns
// how often the kernel took it.
func (b *batch) send(payloads [][]byte) (int, error) {
	out := b.messages[:min(len(payloads), batchSize)]
	saved := [batchSize][]byte{}
	for i := range out {
		saved[i] = out[i].Buffers[0]
		out[i].Buffers[0] = payloads[i]
		out[i].Addr = nil
	}
	n, err := b.conn.WriteBatch(out, 0)
	for i := range out {
		out[i].Buffers[0] = saved[i]
	}
	return n, err
}
