package udpio

import (
	"net/netip"
	"runtime"
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
// in the processor's cache. A sync.Pool alone would give them up to the garbage
// collector and then pay for clearing 2 MiB at the next datagram; here it has what
// only many sockets readable at once need, so that it is gone soon after them.
//
// No more than most are in use at once. Else hundreds of sockets that become
// readable, while the system keeps whoever has the lock their handlers want from
// running, would take 2 MiB each, and the time to clear them.
type batchPool struct {
	most  int
	spare sync.Pool // of *batch

	mu      sync.Mutex
	free    sync.Cond
	idle    []*batch // at most keptBatches; guarded by mu, as all below
	inUse   int
	waiting int
}

func newBatchPool(most int) *batchPool {
	p := &batchPool{most: most}
	p.free.L = &p.mu
	p.spare.New = func() any {
		b := &batch{memory: make([]byte, BatchSize*slotSize)}
		b.system.init(b)
		return b
	}
	return p
}

// batches is shared by all sockets of the process.
var batches = newBatchPool(max(leastBatches, runtime.NumCPU()))

// get waits while as many are in use as may be.
func (p *batchPool) get() *batch {
	p.mu.Lock()
	for p.inUse == p.most {
		p.waiting++
		p.free.Wait()
		p.waiting--
	}
	p.inUse++
	if n := len(p.idle); n > 0 {
		b := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return b
	}
	p.mu.Unlock()
	return p.spare.Get().(*batch)
}

func (p *batchPool) put(b *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse--
	if len(p.idle) < keptBatches {
		p.idle = append(p.idle, b)
	} else {
		p.spare.Put(b)
	}
	if p.waiting > 0 {
		p.free.Signal()
	}
}
