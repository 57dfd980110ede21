package steady

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watching is a machine that is as late as it is told to be.
func watching(late *Lateness) func() func() Lateness {
	return func() func() Lateness { return func() Lateness { return *late } }
}

var (
	quiet = Lateness{P90: mostOften, Max: mostEver, Sleeps: 100}
	slow  = Lateness{P90: mostOften + 1, Max: mostEver, Sleeps: 100}
)

func TestMeasureEndsWhenItIsRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, runs := slow, 0
		require.NoError(t, measure(3, time.Minute, t.Log, func() string {
			if runs++; runs < 10 {
				return "wrong"
			}
			return ""
		}, watching(&late)))
		require.Equal(t, 10, runs)
	})
}

func TestMeasureIsWrongAfterSomeTriesThatCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, runs := slow, 0
		err := measure(3, time.Minute, t.Log, func() string {
			if runs++; runs > 5 {
				late = quiet
			}
			return "wrong"
		}, watching(&late))
		require.EqualError(t, err, "wrong")
		require.NotErrorIs(t, err, ErrBusy)
		require.Equal(t, 5+3, runs)
	})
}

func TestMeasureGivesUpOnABusyMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, begun := slow, time.Now()
		err := measure(3, time.Minute, t.Log, func() string { return "wrong" }, watching(&late))
		require.ErrorIs(t, err, ErrBusy)
		require.ErrorContains(t, err, "wrong")
		require.Equal(t, time.Minute, time.Since(begun).Truncate(time.Second))
	})
}

// What takes longer than the patience has its tries nevertheless.
func TestMeasureThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late, runs := quiet, 0
		err := measure(3, time.Second, t.Log, func() string { runs++; time.Sleep(time.Minute); return "wrong" }, watching(&late))
		require.EqualError(t, err, "wrong")
		require.Equal(t, 3, runs)
	})
}

func TestLateness(t *testing.T) {
	var late []time.Duration
	for i := range 100 {
		late = append(late, time.Duration(100-i))
	}
	require.Equal(t, Lateness{P90: 91, Max: 100, Sleeps: 100}, lateness(late))
	require.True(t, quiet.Kept())
	for _, l := range []Lateness{{}, slow, {P90: 1, Max: mostEver + 1, Sleeps: 100}} {
		require.False(t, l.Kept(), l)
	}
}

func TestWatchSeesSleeps(t *testing.T) {
	end := Watch()
	time.Sleep(10 * sleep)
	l := end()
	require.Positive(t, l.Sleeps)
	require.GreaterOrEqual(t, l.Max, l.P90)
	require.GreaterOrEqual(t, l.P90, time.Duration(0))
}
