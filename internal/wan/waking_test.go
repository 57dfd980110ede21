package wan

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWakingIsEarlyByWhatItWasLate(t *testing.T) {
	const late, sleep = 50_000, 10_000_000
	var w waking
	now := nanoseconds(0)
	for range 100 {
		due := now + sleep
		_, until := w.timeout(now, due)
		now = until + late
		w.woke(until, now)
	}
	require.InDelta(t, late, w.late, 1000)
	_, until := w.timeout(now, now+sleep)
	require.InDelta(t, now+sleep-late, until, 3000)

	// What it says of a packet: not before the sleep began.
	require.InDelta(t, now-late, w.came(0, now), 1000)
	require.Equal(t, now-10, w.came(now-10, now))

	// A thread kept from running tells nothing of how long waking takes.
	w.woke(now, now+1e9)
	require.InDelta(t, late, w.late, 1000)
}

func TestWakingPollsNoMoreThanItsShare(t *testing.T) {
	w := waking{late: 50_000}
	now, polled := nanoseconds(0), nanoseconds(0)
	for now < 1e9 {
		// Something is always due in 20 µs, within what waking takes.
		sleep, _ := w.timeout(now, now+20_000)
		if sleep == 0 {
			w.polled(1000)
			polled += 1000
			now += 1000
		} else {
			now += sleep
		}
	}
	require.InDelta(t, 1e9*pollShare, polled, 1e6)
}

func TestWakingIsBusyOnlyWhileThereAreMany(t *testing.T) {
	var w waking
	now := nanoseconds(0)
	second := func(packets int) {
		for range packets {
			now += int64(1e9) / int64(packets)
			w.carried(1, now)
		}
	}
	second(5_000)
	require.False(t, w.busy())
	second(40_000)
	require.True(t, w.busy())
	// One after a long silence ends it.
	now += 1e9
	w.carried(1, now)
	require.False(t, w.busy())
}
