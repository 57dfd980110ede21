package lane

import (
	"log/slog"
	"sync/atomic"
)

// Counts are what a Set did since it began.
type Counts struct {
	Datagrams uint64 // given to lanes, each counted once
	Copies    uint64 // sent besides, on further lanes
	Switches  uint64 // flows that left a lane in trouble for another
	Stalls    uint64 // times a lane got into trouble: lost something, or stood still
	Lost      uint64 // segments of the lanes that were sent again, less those for nothing
}

// LogValue is the counts as attributes, without those that are zero.
func (c Counts) LogValue() slog.Value {
	var attributes []slog.Attr
	for _, a := range []slog.Attr{
		slog.Uint64("datagrams", c.Datagrams), slog.Uint64("copies", c.Copies),
		slog.Uint64("switches", c.Switches), slog.Uint64("stalls", c.Stalls), slog.Uint64("lost", c.Lost),
	} {
		if a.Value.Uint64() > 0 {
			attributes = append(attributes, a)
		}
	}
	return slog.GroupValue(attributes...)
}

// counters are where a Set counts. The zero counters are ready.
type counters struct {
	datagrams, copies, switches, stalls atomic.Uint64
	lost                                atomic.Int64 // may be below zero for a moment
}

// Counts is what the Set did so far.
func (s *Set) Counts() Counts {
	c := &s.counters
	return Counts{
		Datagrams: c.datagrams.Load(),
		Copies:    c.copies.Load(),
		Switches:  c.switches.Load(),
		Stalls:    c.stalls.Load(),
		Lost:      uint64(max(c.lost.Load(), 0)),
	}
}
