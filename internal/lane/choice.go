package lane

import (
	"time"

	"funnel/internal/flow"
)

// choose fills picked with the lanes for one datagram, the first for the
// datagram itself and the others for copies, and returns how many.
//
// A single copy stays on its flow's lane, which keeps the flow in order, until
// that lane is in trouble. Several copies rotate over all lanes: each lane then
// carries fewer of a flow's datagrams and so holds fewer of them up when it
// loses one.
func (s *Set) choose(picked *[MaxCopies]*Lane, lanes []*Lane, f *flow.Flow, sequence uint32, size int, now time.Duration) int {
	want := min(int(s.copies.level.Load()), len(lanes), MaxCopies)
	if want <= 1 {
		picked[0] = s.steady(lanes, f, now)
		return 1
	}
	n := 0
	start := int(sequence % uint32(len(lanes))) // #nosec G115 -- unsigned: an int may have 32 bits
	for i := range lanes {
		if n == want {
			return n
		}
		l := lanes[(start+i)%len(lanes)]
		if l.Troubled(now) {
			continue
		}
		if n > 0 && !s.copies.allow(size, now) {
			return n
		}
		picked[n] = l
		n++
	}
	if n == 0 {
		picked[0] = s.steady(lanes, f, now)
		n = 1
	}
	// A lane in trouble still delivers, if late: better than a copy less when
	// the other one is lost. It costs as much as any: where all lanes are in
	// trouble because the line is full, copies must not fill it further.
	for i := 0; i < len(lanes) && n < want; i++ {
		l := lanes[(start+i)%len(lanes)]
		if !l.Troubled(now) || l == picked[0] {
			continue
		}
		if !s.copies.allow(size, now) {
			return n
		}
		picked[n] = l
		n++
	}
	return n
}

// steady is the flow's lane, or the next one that isn't in trouble, which is
// the flow's lane from then on.
func (s *Set) steady(lanes []*Lane, f *flow.Flow, now time.Duration) *Lane {
	at := f.Lane % len(lanes)
	for i := range lanes {
		if l := lanes[(at+i)%len(lanes)]; !l.Troubled(now) {
			if i > 0 {
				f.Lane = (at + i) % len(lanes)
				s.counters.switches.Add(1)
			}
			return l
		}
	}
	return lanes[at]
}

// observe looks at all lanes, now and then. A datagram never waits for it: those
// that could carry one are looked at by choose.
func (s *Set) observe(lanes []*Lane, now time.Duration) {
	last := s.observed.Load()
	if now-time.Duration(last) < observeAge || !s.observed.CompareAndSwap(last, int64(now)) {
		return
	}
	var seen pathCounts
	var rate uint64
	for _, l := range lanes {
		l.path.look(now)
		seen.add(l.path.take())
		if info, ok := l.path.last(); ok {
			rate = max(rate, info.DeliveryRate)
		}
	}
	s.counters.stalls.Add(uint64(seen.stalls)) // #nosec G115 -- a count
	s.counters.lost.Add(int64(seen.again))
	s.copies.update(seen, rate, now)
}
