package probe

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

// paced is a series of one message every 10 ms with the given round trips; 0 is
// a lost one.
func paced(trips ...time.Duration) Series {
	s := Series{Rate: 100, Size: 64}
	for i, trip := range trips {
		sample := Sample{Intended: time.Duration(i) * 10 * ms}
		sample.Sent = sample.Intended + 1
		if trip > 0 {
			sample.Received = sample.Intended + trip
		}
		s.Samples = append(s.Samples, sample)
	}
	return s
}

func TestPercentilesByNearestRank(t *testing.T) {
	var trips []time.Duration
	for i := range 1000 {
		trips = append(trips, time.Duration(1000-i)*ms) // 1 to 1000 ms, the wrong way round
	}
	s := Summarize(0, paced(trips...))
	require.Equal(t, 1000, s.Received)
	require.Equal(t, 1*ms, s.Min)
	require.Equal(t, 500*ms, s.P50)
	require.Equal(t, 900*ms, s.P90)
	require.Equal(t, 990*ms, s.P99)
	require.Equal(t, 999*ms, s.P999)
	require.Equal(t, 1000*ms, s.Max)

	one := Summarize(0, paced(7*ms))
	require.Equal(t, []time.Duration{7 * ms, 7 * ms, 7 * ms}, []time.Duration{one.P50, one.P999, one.Max})
}

// TestLostIsNotOnTime: of ten, one is lost, and the bounds count from the floor
// and hold what comes exactly then.
func TestLostIsNotOnTime(t *testing.T) {
	s := Summarize(40*ms, paced(40*ms, 41*ms, 45*ms, 45*ms+1, 60*ms, 61*ms, 90*ms, 140*ms, 141*ms, 0))
	require.Equal(t, [4]float64{0.3, 0.5, 0.7, 0.8}, s.OnTime)
	require.InDelta(t, 0.1, s.Loss(), 1e-12)
	require.Equal(t, 10, s.Sent)
	require.Equal(t, 9, s.Received)
}

// TestReordering by RFC 4737: what comes after a later one. Messages leave every
// 10 ms; number 1 takes 35 ms and comes after 2 (at 25) and 3 (at 35).
func TestReordering(t *testing.T) {
	require.Zero(t, Summarize(0, paced(5*ms, 5*ms, 5*ms)).Reordered)
	require.Equal(t, 1, Summarize(0, paced(5*ms, 35*ms, 5*ms, 5*ms, 5*ms)).Reordered)
	// Two that are late, in order between themselves, are both behind.
	require.Equal(t, 2, Summarize(0, paced(5*ms, 50*ms, 45*ms, 5*ms)).Reordered)
	// A gap by loss is no reordering.
	require.Zero(t, Summarize(0, paced(5*ms, 0, 5*ms)).Reordered)
}

// TestJitter by hand, RFC 3550: D is 0, 8, -8 ms, so J is 0, 0.5,
// 0.5 + 7.5/16.
func TestJitter(t *testing.T) {
	s := Summarize(0, paced(20*ms, 20*ms, 28*ms, 20*ms))
	require.InDelta(t, (0+0.5+0.96875)/3*float64(ms), float64(s.Jitter), 10)
	require.Zero(t, Summarize(0, paced(20*ms)).Jitter)
}

// TestSenderCannotHideLatency: the sender was held up for a second, the path
// wasn't; what counts is when the message was to leave.
func TestSenderCannotHideLatency(t *testing.T) {
	s := Series{Samples: []Sample{{Intended: 0, Sent: time.Second, Received: time.Second + 5*ms}}}
	summary := Summarize(0, s)
	require.Equal(t, time.Second+5*ms, summary.P50)
	require.Equal(t, time.Second, summary.Late)
}

func TestSeveralSeriesAreOne(t *testing.T) {
	a, b := paced(10*ms, 10*ms, 10*ms), paced(0, 0, 0)
	b.Duplicates = []Duplicate{{1, 50 * ms}}
	s := Summarize(0, a, b)
	require.Equal(t, 6, s.Sent)
	require.Equal(t, 3, s.Received)
	require.Equal(t, 1, s.Duplicates)
	require.InDelta(t, 0.5, s.Loss(), 1e-12)
}

func TestNothingIsNothing(t *testing.T) {
	require.Equal(t, Summary{}, Summarize(0))
	require.Equal(t, Summary{Sent: 2}, Summarize(0, paced(0, 0)))
	require.Zero(t, Summarize(0).Loss())
}

func TestHistogramHoldsWhatCame(t *testing.T) {
	h := Histogram(paced(40*ms, 40*ms, 0, 80*ms), paced(2*time.Hour))
	require.EqualValues(t, 4, h.TotalCount())
	require.InDelta(t, float64(40*ms), float64(h.ValueAtQuantile(50)), float64(40*ms)/500)
	require.InDelta(t, float64(time.Minute), float64(h.Max()), float64(time.Minute)/500)
}
