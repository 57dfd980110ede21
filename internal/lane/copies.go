package lane

import (
	"sync"
	"sync/atomic"
	"time"
)

// copies decides on how many lanes each datagram goes. On clean lanes one is
// enough. Once a lane loses something three are sent for a while, as losses come
// in company, or two as soon as it is known that so little is lost that two are
// hardly ever lost together. The second and third may take a share of the
// bandwidth only: a slow uplink isn't to be harmed by its own cure.
type copies struct {
	fixed int // asked for by the user, 0 for none

	level atomic.Int32 // as of the last update

	mu       sync.Mutex
	hold     time.Duration // guarded by mu, as all below: until when there is more than one copy
	suspect  time.Duration // since when something seems lost, 0 if nothing does
	now      lossWindow    // the present lossSpan
	before   lossWindow    // the one before
	begun    time.Duration // when now began
	rate     uint64        // the best delivery rate of any lane lately, bytes/s
	tokens   float64       // bytes that further copies may take
	refilled time.Duration
}

// lossWindow is what the lanes sent, and sent again because it was lost. What
// was sent again for nothing is taken off when the peer says so, maybe in
// another window than it was added in.
type lossWindow struct{ sent, again int }

func newCopies(fixed int) *copies {
	c := &copies{fixed: fixed}
	c.level.Store(int32(max(fixed, 1))) // #nosec G115 -- a few lanes
	return c
}

// update takes what the lanes saw since the last update.
func (c *copies) update(seen pathCounts, rate uint64, now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now-c.begun > lossSpan {
		c.before, c.now, c.begun = c.now, lossWindow{}, now
		c.rate = rate
	}
	c.now.sent += seen.sent
	c.now.again += seen.again
	c.rate = max(c.rate, rate)
	if c.fixed > 0 {
		return
	}
	sent, again := c.now.sent+c.before.sent, c.now.again+c.before.again
	switch {
	case again <= 0:
		c.suspect = 0
	case c.suspect == 0:
		c.suspect = now
	}
	if c.suspect > 0 && now-c.suspect >= dsackWait {
		c.hold = now + copiesHold
	}
	level := int32(1)
	if now < c.hold {
		level = 3
		if sent >= lossSample && float64(again) <= lossHigh*float64(sent) {
			level = 2
		}
	}
	c.level.Store(level)
}

// allow reports whether another size bytes may be spent on a further copy.
func (c *copies) allow(size int, now time.Duration) bool {
	if c.fixed > 0 {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	rate := max(copiesLeast, copiesShare*float64(c.rate))
	if now > c.refilled { // readers take turns, and each took its time before
		c.tokens = min(c.tokens+rate*(now-c.refilled).Seconds(), rate*copiesBurst.Seconds())
		c.refilled = now
	}
	if c.tokens < float64(size) {
		return false
	}
	c.tokens -= float64(size)
	return true
}
