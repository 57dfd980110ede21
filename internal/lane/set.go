package lane

import (
	"sync"
	"sync/atomic"
	"time"

	"funnel/internal/flow"
	"funnel/internal/obs"
)

// Set is the live lanes of a session and sends its datagrams over them. All
// methods may be called at the same time, but each flow's datagrams by one
// goroutine.
type Set struct {
	drops    *obs.Drops
	copies   *copies
	observed atomic.Int64 // when the lanes were last looked at, see Now
	played   atomic.Int64 // when a datagram was last sent, within playGrain
	counters counters
	late     lateCopies

	mu    sync.Mutex              // held while lanes are added and removed
	lanes atomic.Pointer[[]*Lane] // never changed in place; sorted by slot
}

// NewSet makes an empty set, which drops all it is given. Each datagram is sent
// on so many lanes as copies says, 1 to 3; for 0 the set decides by what the
// lanes lose.
func NewSet(drops *obs.Drops, copies int) *Set {
	s := &Set{drops: drops, copies: newCopies(min(copies, MaxCopies))}
	s.lanes.Store(new([]*Lane))
	s.late.set = s
	return s
}

// Add makes l take part. Its slot must be free.
func (s *Set) Add(l *Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.lanes.Load()
	lanes := make([]*Lane, 0, len(old)+1)
	at := 0
	for at < len(old) && old[at].Slot() < l.Slot() {
		at++
	}
	lanes = append(append(append(lanes, old[:at]...), l), old[at:]...)
	s.lanes.Store(&lanes)
}

// Remove takes l out; what waits on it stays there. It returns how many lanes
// are left.
func (s *Set) Remove(l *Lane) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := *s.lanes.Load()
	lanes := make([]*Lane, 0, len(old))
	for _, other := range old {
		if other != l {
			lanes = append(lanes, other)
		}
	}
	s.lanes.Store(&lanes)
	return len(lanes)
}

// Lanes is the live lanes, not to be changed.
func (s *Set) Lanes() []*Lane { return *s.lanes.Load() }

// Send queues one datagram of f, copied, received at the time given (see Now).
// Flush must follow, once for all that came together.
func (s *Set) Send(f *flow.Flow, payload []byte, at time.Duration) {
	lanes := *s.lanes.Load()
	if len(lanes) == 0 {
		s.drops.Add(obs.DropNoLane, 1)
		return
	}
	if at-time.Duration(s.played.Load()) > playGrain {
		s.played.Store(int64(at))
	}
	p := newPacket(f, payload, at)
	var picked [MaxCopies]*Lane
	n := s.choose(&picked, lanes, f, p.sequence, p.size(), at)
	s.counters.datagrams.Add(1)
	for range n - 1 {
		p.retain()
	}
	if n == MaxCopies {
		used := uint32(0)
		for _, l := range picked[:n-1] {
			used |= 1 << l.Slot()
		}
		if s.late.hold(p, used, at) {
			n--
		}
	}
	if n > 1 {
		s.counters.copies.Add(uint64(n - 1))
	}
	for _, l := range picked[:n] {
		l.push(p)
	}
}

// Playing reports whether datagrams were sent in the last two seconds.
func (s *Set) Playing() bool {
	last := s.played.Load()
	return last > 0 && Now()-time.Duration(last) < playSpan
}

// SendRecord sends a record that isn't a datagram over any lane, or drops it if
// there is none. It leaves the writing to the lane, and never waits.
func (s *Set) SendRecord(record []byte) {
	if lanes := *s.lanes.Load(); len(lanes) > 0 {
		lanes[0].Answer(record)
	}
}

// Flush sends what was queued. It may wait for a peer that takes nothing: its
// caller holds nothing that others need.
func (s *Set) Flush() {
	lanes := *s.lanes.Load()
	for _, l := range lanes {
		l.Flush()
	}
	s.observe(lanes, Now())
}
