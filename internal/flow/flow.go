// Package flow holds what relay and agent share about one UDP conversation:
// its number and sequence, the window that drops second copies, and the table
// that bounds how many there are and ends the idle ones.
package flow

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"funnel/proto"
)

// Flow is one UDP conversation between a client and a target.
type Flow struct {
	// Fixed after New.
	ID      uint32
	Forward uint32
	Client  netip.AddrPort
	header  []byte

	// Owned by the goroutine that reads the flow's socket.
	sent uint32
	Lane int // which lane of its set carries the flow, modulo their number

	// announced has a bit for each lane that carries the flow's header.
	announced atomic.Uint64

	mu       sync.Mutex
	received Window // guarded by mu: lanes deliver side by side
}

// New makes a flow. If announce is set its header goes out before its first
// datagram on each lane: the relay's part, as the agent learns flows from it.
func New(h proto.FlowHeader, announce bool) *Flow {
	f := &Flow{ID: h.Flow, Forward: h.Forward, Client: h.Client, Lane: int(h.Flow & 0x7fffffff)}
	if announce {
		f.header = proto.AppendFlow(make([]byte, 0, proto.MaxFlowRecord), h)
	}
	return f
}

// Next numbers the next datagram to send, from 1, wrapping. For the one
// goroutine that sends the flow's datagrams.
func (f *Flow) Next() uint32 {
	f.sent++
	return f.sent
}

// First reports whether the datagram with this sequence number comes for the
// first time.
func (f *Flow) First(sequence uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.received.First(sequence)
}

// Header is the record that must go out on the lane with this slot (0 to 63)
// before the flow's next datagram, or nil if it already did or none is needed.
// It counts as sent from then on.
func (f *Flow) Header(slot int) []byte {
	bit := uint64(1) << slot
	if f.header == nil || f.announced.Load()&bit != 0 || f.announced.Or(bit)&bit != 0 {
		return nil
	}
	return f.header
}

// Forget makes Header give the header again for slot, when another lane took
// the slot.
func (f *Flow) Forget(slot int) { f.announced.And(^(uint64(1) << slot)) }
