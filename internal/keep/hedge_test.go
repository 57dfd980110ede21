package keep

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestADialThatTakesLongIsTriedBesideItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error {
			if n < 3 {
				return hang(ctx)
			}
			return nil
		})
		after(2 * hedgeAfter)
		require.Equal(t, []time.Duration{0, hedgeAfter, 2 * hedgeAfter}, b.times())
		require.Equal(t, 3, b.line().number)
		require.NoError(t, b.line().cause())
		b.stop()
	})
}

func TestDialsBesideEachOtherAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var active, most atomic.Int32
		b := start(t, func(ctx context.Context, _ int) error {
			most.Store(max(most.Load(), active.Add(1)))
			defer active.Add(-1)
			return hang(ctx)
		})
		for range 20 {
			for range 5 { // as often as a network may change
				b.doKick()
				after(hedgeAfter / 5)
			}
		}
		require.EqualValues(t, maxHedge, most.Load())
		require.LessOrEqual(t, len(b.times()), maxHedge+20, "one each hedgeAfter")
		b.stop()
	})
}

// Three dials may all lose their path after they have reached the other end.
func TestDialsThatAreStuckMakeRoom(t *testing.T) {
	stuck := func(ctx context.Context, n int) error {
		if n <= maxHedge {
			return hang(ctx)
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		b := start(t, stuck)
		after(2*hedgeAfter + stuckAfter)
		require.Equal(t, []time.Duration{0, hedgeAfter, 2 * hedgeAfter, 2*hedgeAfter + stuckAfter}, b.times())
		require.NoError(t, b.line().cause())
		b.stop()
	})
	synctest.Test(t, func(t *testing.T) { // and sooner if the network has changed
		b := start(t, stuck)
		after(3 * hedgeAfter)
		require.Len(t, b.times(), maxHedge)
		b.doKick()
		synctest.Wait()
		require.Len(t, b.times(), maxHedge+1)
		require.NoError(t, b.line().cause())
		b.stop()
	})
}

// An end that is slow would have no time for any login otherwise.
func TestTheOldestDialMakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error {
			if n > 1 {
				return hang(ctx)
			}
			time.Sleep(time.Minute)
			return ctx.Err()
		})
		after(time.Minute)
		require.Greater(t, len(b.times()), maxHedge)
		require.Equal(t, 1, b.line().number)
		require.NoError(t, b.line().cause())
		b.stop()
	})
}

// One that is on its way to the other end tries again by itself.
func TestADialThatIsOnItsWayMakesNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error { return hang(ctx) })
		after(hedgeAfter)
		b.mu.Lock()
		b.silent = true
		b.mu.Unlock()
		for range 20 {
			after(hedgeAfter)
			b.doKick()
			synctest.Wait()
		}
		require.Len(t, b.times(), maxHedge)
		b.stop()
	})
}

func TestADialIsAloneWhereThatIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, _ int) error { return hang(ctx) })
		b.hedge = false
		for range 5 {
			b.doKick()
			after(hedgeAfter)
		}
		require.Len(t, b.times(), 1)
		b.stop()
	})
}

// A dial that has reached nobody tries again by itself.
func TestADialThatReachesNobodyIsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error {
			if n > 1 {
				return hang(ctx)
			}
			return nil
		})
		b.silent = true
		b.line().setDoubt(true)
		for range 5 {
			after(hedgeAfter)
			b.doKick()
			synctest.Wait()
		}
		require.Len(t, b.times(), 2)
		b.stop()
	})
}

func TestAKickHasADialTriedBesideItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error {
			if n == 1 { // over a network that is gone
				return hang(ctx)
			}
			return nil
		})
		b.doKick()
		synctest.Wait()
		require.Equal(t, []time.Duration{0, 0}, b.times())
		require.NoError(t, b.line().cause())
		b.stop()
	})
}
