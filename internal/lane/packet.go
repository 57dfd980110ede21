package lane

import (
	"sync"
	"sync/atomic"
	"time"

	"funnel/internal/flow"
	"funnel/proto"
)

// packet is a datagram that waits, with its payload copied out of the buffer
// it was received in. It may wait on several lanes; the last to release it
// gives it back.
type packet struct {
	flow     *flow.Flow
	sequence uint32
	at       time.Duration // when it was received, see Now
	payload  []byte
	refs     atomic.Int32
	class    int // of packetSizes
}

// packetSizes are the sizes that packets come in: most of what games send fits
// the first, nearly all datagrams of the Internet the second, and the few large
// ones must not make every waiting one cost 64 KiB.
var packetSizes = [...]int{256, 2 << 10, proto.MaxDatagram}

var packetPools = [len(packetSizes)]*sync.Pool{packetPool(0), packetPool(1), packetPool(2)}

func packetPool(class int) *sync.Pool {
	return &sync.Pool{New: func() any { return &packet{class: class, payload: make([]byte, 0, packetSizes[class])} }}
}

// classOf is the smallest size that a payload fits.
func classOf(length int) int {
	class := 0
	for length > packetSizes[class] {
		class++
	}
	return class
}

// newPacket copies payload. It has one reference.
func newPacket(f *flow.Flow, payload []byte, at time.Duration) *packet {
	p := packetPools[classOf(len(payload))].Get().(*packet)
	p.flow, p.sequence, p.at = f, f.Next(), at
	p.payload = append(p.payload[:0], payload...)
	p.refs.Store(1)
	return p
}

func (p *packet) retain() { p.refs.Add(1) }

func (p *packet) release() {
	if p.refs.Add(-1) > 0 {
		return
	}
	p.flow = nil
	packetPools[p.class].Put(p)
}

// size is what p takes on a lane.
func (p *packet) size() int { return proto.DatagramHeader + len(p.payload) }

// memory is what p takes while it waits, about; copies of it share that.
func (p *packet) memory() int { return packetOverhead + packetSizes[p.class] }

var epoch = time.Now()

// Now is the time that ages are counted in.
func Now() time.Duration { return time.Since(epoch) }
