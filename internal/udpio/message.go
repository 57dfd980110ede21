package udpio

import (
	"net/netip"
	"sync"
)

// Message is one datagram that was received.
type Message struct {
	// Data is the payload, 0 to 65,535 bytes. It belongs to the Conn and is
	// valid only while the function given to [Conn.Receive] runs.
	Data []byte

	// Remote is the sender. An IPv4 address is never in its IPv6-mapped form. On
	// a connected socket it is the peer.
	Remote netip.AddrPort

	// Local is the address the datagram was sent to, from which a reply should
	// leave. It is the zero Addr when the socket is bound to one address anyway,
	// when the system does not tell, and for multicast.
	Local netip.Addr
}

// batch holds the buffers for one system call. A batch is taken from the pool
// only once there may be something to read, so that waiting sockets hold none.
type batch struct {
	messages [BatchSize]Message
	memory   []byte
	system   batchSystem
}

// buffer returns the whole receive buffer of message i, 65,536 bytes.
func (b *batch) buffer(i int) []byte {
	return b.memory[i*slotSize : i*slotSize+65536 : i*slotSize+65536]
}

// batchPool keeps batches for reuse, the last used first: its pages are the ones
// in the processor's cache. A sync.Pool would give up its batches to the garbage
// collector and then pay for clearing 2 MiB at the next datagram.
type batchPool struct {
	mu   sync.Mutex
	idle []*batch
}

// batches is shared by all sockets of the process.
var batches batchPool

func (p *batchPool) get() *batch {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return b
	}
	p.mu.Unlock()
	b := &batch{memory: make([]byte, BatchSize*slotSize)}
	b.system.init(b)
	return b
}

func (p *batchPool) put(b *batch) {
	p.mu.Lock()
	if len(p.idle) < maxIdleBatches {
		p.idle = append(p.idle, b)
	}
	p.mu.Unlock()
}
