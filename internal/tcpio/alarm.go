package tcpio

import "sync/atomic"

// Alarm wakes somebody who has nothing to do while nothing moves over a Conn.
type Alarm struct {
	// C yields when as much has moved as Set said. It holds one.
	C <-chan struct{}

	left atomic.Int64 // bytes until it goes off; not positive: it isn't set
	rung chan struct{}
}

// Alarm returns an alarm of the connection, for as long as that lasts: a Conn is
// meant to have one or two.
func (c *Conn) Alarm() *Alarm {
	rung := make(chan struct{}, 1)
	a := &Alarm{C: rung, rung: rung}
	for {
		before := c.alarms.Load()
		after := []*Alarm{a}
		if before != nil {
			after = append(after, *before...)
		}
		if c.alarms.CompareAndSwap(before, &after) {
			return a
		}
	}
}

// Set has the alarm go off once, when so many bytes more, at least 1, have come
// from the peer or were given to Write. That it went off before is forgotten.
func (a *Alarm) Set(bytes int) {
	select {
	case <-a.rung:
	default:
	}
	a.left.Store(int64(bytes))
}

// moved counts n bytes.
func (a *Alarm) moved(n int) {
	if a.left.Load() <= 0 {
		return
	}
	if left := a.left.Add(-int64(n)); left > 0 || left+int64(n) <= 0 { // not yet, or it went off before
		return
	}
	select {
	case a.rung <- struct{}{}:
	default:
	}
}

// count adds what has moved to one of the totals, and has the alarms know.
func (c *Conn) count(total *atomic.Uint64, n int) {
	total.Add(uint64(n)) // #nosec G115 -- not negative
	if alarms := c.alarms.Load(); alarms != nil {
		for _, a := range *alarms {
			a.moved(n)
		}
	}
}
