package wan

import (
	"math"
	"math/rand/v2"
	"time"
)

// fate is what becomes of a packet.
type fate uint8

const (
	delivered fate = iota
	lostRandom
	lostOutage
	lostQueue
	lostCut
	lostNAT
	lostFirewall
	fates // how many there are
)

// nanoseconds since the world began.
type nanoseconds = int64

// direction decides what becomes of the packets of one direction of a link and
// when they arrive. It knows no clock and no device: the time comes with the
// packet. Owned by the link's wire.
type direction struct {
	Conditions
	freeAt  nanoseconds // when the bottleneck has sent all that waits for it
	lastDue nanoseconds // when the latest packet is due
	down    bool        // the outage's state
	turnsAt nanoseconds // when it changes

	// Each from a sequence of its own, so that to set one leaves the others
	// as they were.
	loss, jitter, outage *rand.Rand
}

// newDirection returns a direction that draws from the seed's sequences; no
// two directions of a world have the same number.
func newDirection(seed, number uint64) *direction {
	const kinds = 3
	sequence := func(kind uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, number*kinds+kind)) }
	return &direction{loss: sequence(0), jitter: sequence(1), outage: sequence(2)}
}

// set takes new conditions for the packets from now on.
func (d *direction) set(c Conditions, now nanoseconds) {
	if c.Queue == 0 {
		c.Queue = DefaultQueue
	}
	if c.Rate != d.Rate {
		d.freeAt = now
	}
	if c.Outage != d.Conditions.Outage {
		// Where the chain would be if it had always run. What remains of a
		// state is distributed as the whole of it.
		d.down = d.outage.Float64() < c.Outage.Share
		d.turnsAt = now + d.stay(c.Outage)
	}
	d.Conditions = c
}

// admit takes a packet of size bytes that arrives now, and returns its fate
// and, if that is delivered, when.
func (d *direction) admit(now nanoseconds, size int) (due nanoseconds, f fate) {
	due = now
	if d.Rate > 0 {
		start := max(now, d.freeAt)
		end := start + int64(size)*8*int64(time.Second)/d.Rate
		if start > now && end-now > int64(d.Queue) {
			return 0, lostQueue
		}
		d.freeAt, due = end, end
	}
	if d.Conditions.Outage.Share > 0 && d.isDown(now) {
		return 0, lostOutage
	}
	if d.Loss > 0 && d.loss.Float64() < d.Loss {
		return 0, lostRandom
	}
	due += int64(d.Delay)
	if d.Jitter > 0 {
		due += d.jitter.Int64N(int64(d.Jitter) + 1)
	}
	if !d.Reorder {
		due = max(due, d.lastDue)
		d.lastDue = due
	}
	return due, delivered
}

// isDown moves the outage's chain on to now.
func (d *direction) isDown(now nanoseconds) bool {
	for d.turnsAt <= now {
		d.down = !d.down
		d.turnsAt += d.stay(d.Conditions.Outage)
	}
	return d.down
}

// stay draws how long the present state lasts.
func (d *direction) stay(o Outage) nanoseconds {
	if o.Share == 0 {
		return math.MaxInt64 / 2
	}
	mean := float64(o.Mean)
	if !d.down {
		// Share = down / (down + up)
		mean *= (1 - o.Share) / o.Share
	}
	// At least 1 ns, so that the chain moves; at most a year, so that nothing
	// overflows however small the share.
	const year = 365 * 24 * time.Hour
	return int64(min(1+d.outage.ExpFloat64()*mean, float64(year)))
}
