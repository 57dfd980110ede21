package wan

import "sync/atomic"

// counters are one direction's. The wire counts, anyone reads.
type counters struct {
	in, inBytes, bytes atomic.Uint64
	fates              [fates]atomic.Uint64
}

// end counts a packet of size bytes whose fate is known.
func (c *counters) end(f fate, size int) {
	if f == delivered {
		c.bytes.Add(uint64(size))
	}
	c.fates[f].Add(1)
}

// snapshot reads all. What came in is read last, so that no packet seems to
// have ended before it came.
func (c *counters) snapshot() Counters {
	s := Counters{
		Delivered:  c.fates[delivered].Load(),
		Bytes:      c.bytes.Load(),
		LostRandom: c.fates[lostRandom].Load(),
		LostOutage: c.fates[lostOutage].Load(),
		LostQueue:  c.fates[lostQueue].Load(),
		LostCut:    c.fates[lostCut].Load(),
		LostNAT:    c.fates[lostNAT].Load(),
		LostUDP:    c.fates[lostFirewall].Load(),
		In:         c.in.Load(),
		InBytes:    c.inBytes.Load(),
	}
	s.InFlight = s.In - s.Delivered - s.Lost()
	return s
}
