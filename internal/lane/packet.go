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
}

// Packets come in two sizes: nearly all datagrams fit the Internet's 1500
// bytes, and the few large ones must not make every waiting one cost 64 KiB.
const smallPayload = 2 << 10

var (
	smallPackets = sync.Pool{New: func() any { return &packet{payload: make([]byte, 0, smallPayload)} }}
	largePackets = sync.Pool{New: func() any { return &packet{payload: make([]byte, 0, proto.MaxDatagram)} }}
)

// newPacket copies payload. It has one reference.
func newPacket(f *flow.Flow, payload []byte, at time.Duration) *packet {
	pool := &smallPackets
	if len(payload) > smallPayload {
		pool = &largePackets
	}
	p := pool.Get().(*packet)
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
	if cap(p.payload) <= smallPayload {
		smallPackets.Put(p)
	} else {
		largePackets.Put(p)
	}
}

// size is what p takes on a lane.
func (p *packet) size() int { return proto.DatagramHeader + len(p.payload) }

var epoch = time.Now()

// Now is the time that ages are counted in.
func Now() time.Duration { return time.Since(epoch) }
