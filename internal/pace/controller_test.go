package pace

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// line is a link with a drop-tail queue that a transfer fills as far as its
// rate allows.
type line struct {
	capacity float64 // bytes a second
	others   time.Duration
	longest  time.Duration
	queued   float64 // bytes
	floor    time.Duration
}

// run sends for a step at rate, 0 meaning as much as the queue takes, and
// returns what arrived in a second and how long the queue is then.
func (l *line) run(rate float64, step time.Duration) (arrived float64, queue time.Duration) {
	most := l.capacity * l.longest.Seconds()
	if rate == 0 {
		l.queued = most
		return l.capacity, l.wait()
	}
	before := l.queued
	l.queued = min(max(l.queued+(rate-l.capacity)*step.Seconds(), 0), most)
	arrived = min(l.capacity, before/step.Seconds()+rate)
	return arrived, l.wait()
}

func (l *line) wait() time.Duration {
	return l.others + time.Duration(l.queued/l.capacity*float64(time.Second))
}

// drive runs a transfer over l for d, and returns the average of its rate and
// the longest and the average wait, after five seconds in which it settles.
func drive(c *controller, l *line, d time.Duration, playing bool) (rate float64, worst, mean time.Duration) {
	const step = 50 * time.Millisecond
	limit := c.rate
	steps := 0
	for now := time.Duration(0); now < d; now += step {
		arrived, queue := l.run(limit, step)
		if limit > 0 && limit < 150e3 { // segments go one by one, and each second one is acknowledged
			queue += min(time.Duration(segment/limit*float64(time.Second)), delayedAck)
		}
		limit = c.step(sample{now: now, rate: arrived, rtt: l.floor + queue, queue: queue, playing: playing})
		if now >= 5*time.Second {
			rate += arrived
			mean += queue
			worst = max(worst, queue)
			steps++
		}
	}
	return rate / float64(steps), worst, mean / time.Duration(steps)
}

func TestTransferMakesRoomForPlay(t *testing.T) {
	for name, l := range map[string]line{
		"20 Mbit/s, queue of 100 ms": {capacity: 2.5e6, longest: 100 * time.Millisecond, floor: 40 * time.Millisecond},
		"4 Mbit/s, queue of 1 s":     {capacity: 5e5, longest: time.Second, floor: 60 * time.Millisecond},
		"500 Mbit/s, queue of 50 ms": {capacity: 6e7, longest: 50 * time.Millisecond, floor: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			rate, _, mean := drive(&controller{}, &l, 30*time.Second, true)
			require.Greater(t, rate, 0.85*l.capacity)
			require.Less(t, mean, queueHigh)
		})
	}
}

func TestTransferIsFreeWhenNobodyPlays(t *testing.T) {
	c := &controller{}
	l := &line{capacity: 2.5e6, longest: 100 * time.Millisecond, floor: 40 * time.Millisecond}
	drive(c, l, 10*time.Second, true)
	require.NotZero(t, c.rate)
	require.Zero(t, c.step(sample{now: 11 * time.Second, rate: 2e6, queue: 50 * time.Millisecond}))
}

func TestQueueOfOthersIsLeftToThem(t *testing.T) {
	c := &controller{}
	l := &line{capacity: 2.5e6, longest: 20 * time.Millisecond, others: 80 * time.Millisecond, floor: 40 * time.Millisecond}
	drive(c, l, 6*time.Second, true)
	require.Greater(t, c.base, 60*time.Millisecond)
	rate, _, _ := drive(c, l, 20*time.Second, true)
	require.Greater(t, rate, 0.85*l.capacity)
}

func TestLineThatBecameFasterIsUsed(t *testing.T) {
	c := &controller{}
	l := &line{capacity: 1e6, longest: 100 * time.Millisecond, floor: 40 * time.Millisecond}
	drive(c, l, 10*time.Second, true)
	l.capacity = 4e6
	c.wait, c.until = 0, 0 // drive counts its time from zero
	rate, _, _ := drive(c, l, 20*time.Second, true)
	require.Greater(t, rate, 0.8*4e6)
}

// TestRateThatCameDownGoesUpAgain: whatever the rate was taken for when the queue
// was found too long, late acks are no queue.
func TestRateThatCameDownGoesUpAgain(t *testing.T) {
	for _, rate := range []float64{10e3, 100e3, 140e3, 200e3} {
		c := &controller{}
		l := &line{capacity: 2.5e6, longest: 100 * time.Millisecond, floor: 40 * time.Millisecond}
		c.step(sample{now: time.Second, rate: rate, rtt: 140 * time.Millisecond, queue: 100 * time.Millisecond, playing: true})
		require.Less(t, c.rate, rate)
		drive(c, l, 10*time.Second, true)
		arrived, _, _ := drive(&controller{rate: c.rate}, l, 10*time.Second, true)
		require.Greater(t, arrived, 0.8*l.capacity, "from %.0f bytes a second", rate)
	}
}
