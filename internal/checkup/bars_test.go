package checkup

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/probe"
)

// trips is a series with those round trips.
func trips(all ...time.Duration) probe.Series {
	s := probe.Series{}
	for i, trip := range all {
		intended := time.Duration(i) * time.Second
		s.Samples = append(s.Samples, probe.Sample{Intended: intended, Sent: intended + 1, Received: intended + trip})
	}
	return s
}

func TestBars(t *testing.T) {
	require.Empty(t, barsOf(nil))
	require.Empty(t, barsOf(probe.Histogram()))

	const trip = 20*msec + 50*time.Microsecond // not at the edge of a bar
	one := barsOf(probe.Histogram(trips(trip)))
	require.Len(t, one, 1)
	require.Equal(t, int64(1), one[0].Count)
	require.LessOrEqual(t, one[0].From, trip)
	require.Greater(t, one[0].To, trip)

	var all []time.Duration
	for range 990 {
		all = append(all, 20*msec+time.Duration(rand.Int64N(int64(9*msec))))
	}
	for range 10 {
		all = append(all, 500*msec)
	}
	bars := barsOf(probe.Histogram(trips(all...)))
	require.LessOrEqual(t, len(bars), 11)
	var total int64
	for i, b := range bars {
		total += b.Count
		if i > 0 {
			require.Equal(t, bars[i-1].To, b.From)
		}
	}
	require.Equal(t, int64(1000), total, "every message is in a bar")
	last := bars[len(bars)-1]
	require.Zero(t, last.To)
	require.Equal(t, int64(10), last.Count)
	require.Equal(t, barWidth, bar{Count: largest(bars)}.share(largest(bars), barWidth))
}

func TestRoundUp(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 100 * time.Microsecond, 100 * time.Microsecond: 100 * time.Microsecond, 101 * time.Microsecond: 200 * time.Microsecond,
		3 * msec: 5 * msec, 6 * msec: 10 * msec, 1100 * msec: 2 * time.Second,
	} {
		require.Equal(t, want, roundUp(d), d)
	}
	require.Positive(t, roundUp(1<<62))
}
