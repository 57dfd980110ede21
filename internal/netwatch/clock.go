package netwatch

import "time"

// newTickClock returns a sleepClock for systems that don't tell of sleep: a tick
// that comes far too late shows it. Some monotonic clocks go on in sleep, some
// stand still, and then the wall clock has gone on; so one that was set ahead by
// more than lateTick counts as a sleep, which costs a dial for nothing.
func newTickClock(now func() time.Time) sleepClock {
	last := now()
	var slept time.Duration
	return func() time.Duration {
		t := now()
		passed := max(t.Sub(last), t.Round(0).Sub(last.Round(0)))
		last = t
		if late := passed - tickInterval; late >= lateTick {
			slept += late
		}
		return slept
	}
}
