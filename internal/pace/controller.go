package pace

import "time"

// controller decides on the rate of a transfer from how long its own segments
// wait in the path's queue. It steps down from the rate at which segments
// arrive, which is what the path carries, however much more was asked of it; it
// goes on from just below that once the queue is empty, and then feels its way
// up. A queue that doesn't get shorter is somebody else's: the controller gives
// up and takes it as part of the path for a while.
type controller struct {
	rate  float64       // bytes a second, 0 while there is no bound
	wait  time.Duration // when the last step has had its effect
	full  float64       // what arrived when the queue was found too long, 0 while it isn't
	found time.Duration // how long it was then
	base  time.Duration // how much of it is somebody else's
	until time.Duration // when that is to be found out again
}

// sample is what was seen since the last step.
type sample struct {
	now     time.Duration
	rate    float64       // bytes a second that arrived
	rtt     time.Duration // smoothed
	queue   time.Duration // of it, the wait in queues
	playing bool          // somebody would notice
}

// step returns the rate to send at, in bytes per second, 0 for no bound.
func (c *controller) step(s sample) float64 {
	if s.now > c.until {
		c.base = 0
	}
	s.queue -= c.spacing()
	queue := s.queue - c.base
	switch {
	case !s.playing:
		c.rate, c.full = 0, 0
	case s.now < c.wait:
	case queue > queueHigh:
		c.down(s)
	case queue < queueLow && c.rate > 0:
		c.up(s)
	}
	return c.rate
}

// spacing is how long a segment at the bound waits for its ack though there is no
// queue: the other end acknowledges every second segment.
func (c *controller) spacing() time.Duration {
	if c.rate == 0 {
		return 0
	}
	return min(time.Duration(segment/c.rate*float64(time.Second)), delayedAck)
}

// down makes room for the queue to become empty.
func (c *controller) down(s sample) {
	switch {
	case c.full == 0:
		c.full, c.found, c.rate = s.rate, s.queue, s.rate
	case c.rate < giveUpShare*c.full && float64(s.queue) > giveUpQueue*float64(c.found):
		c.base, c.until = s.queue, s.now+giveUpFor
		c.rate, c.full = 0, 0
		return
	}
	c.rate *= slower
	c.wait = s.now + s.rtt + lookInterval
}

// up takes the rate back to where it was too much, and then further.
func (c *controller) up(s sample) {
	if c.full > 0 {
		c.rate, c.full = max(c.rate, resume*c.full), 0
	} else {
		c.rate *= faster
	}
	c.wait = s.now + s.rtt
	if c.rate > release*s.rate {
		c.rate = 0
	}
}
