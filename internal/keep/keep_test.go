package keep

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALineThatWasStableIsDialledAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		for range 3 {
			after(stable)
			before := len(b.times())
			b.line().end(errBroken)
			synctest.Wait()
			require.Len(t, b.times(), before+1)
		}
		b.stop()
	})
}

func TestALineThatIsDroppedAtOnceIsDialledEverySecondAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		for b.times()[len(b.times())-1] < 2*nearFor {
			b.line().end(errBroken)
			before := len(b.times())
			for len(b.times()) == before {
				after(50 * time.Millisecond)
			}
		}
		times := b.times()
		last := len(times) - 1
		require.Less(t, times[20]-times[19], nearMost+time.Second/10)
		require.Greater(t, times[20]-times[10], 10*nearMost/2-time.Second, "and yet not without pause")
		require.GreaterOrEqual(t, times[last]-times[last-1], farMost/2)
		b.stop()
	})
}

func TestWhoSaysNoIsAskedMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(context.Context, int) error { return errBroken })
		after(10 * time.Minute)
		times := b.times()
		last := len(times) - 1
		require.Greater(t, times[last]-times[last-1], 10*time.Second)
		b.stop()
	})
}

func TestWhoIsNotReachedIsTriedOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(context.Context, int) error { return errUnreached })
		after(nearFor)
		near := b.times()
		for i := 1; i < len(near); i++ {
			require.LessOrEqual(t, near[i]-near[i-1], nearMost)
		}
		require.Less(t, len(near), int(nearFor/(nearMost/2))+10, "and yet not without pause")
		after(10 * time.Minute)
		far := b.times()
		last := far[len(far)-5:]
		for i := 1; i < len(last); i++ {
			require.LessOrEqual(t, last[i]-last[i-1], farMost)
			require.GreaterOrEqual(t, last[i]-last[i-1], farMost/2)
		}
		b.stop()
	})
}

func TestWhoSaysNoIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(context.Context, int) error { return errRefused })
		after(10 * time.Minute)
		times := b.times()
		require.GreaterOrEqual(t, times[len(times)-1]-times[len(times)-2], 15*time.Second)
		require.Equal(t, len(times), len(b.lost), "each wait was told")
		b.stop()
	})
}

// A no that comes when the line is there already is a no.
func TestWhoHangsUpOnEachLineIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		for time.Since(b.begun) < 10*time.Minute {
			before := len(b.times())
			b.line().end(errUnwanted)
			for len(b.times()) == before {
				after(50 * time.Millisecond)
			}
		}
		times := b.times()
		last := len(times) - 1
		require.Less(t, times[2], 2*nearMost, "not at first")
		require.GreaterOrEqual(t, times[last]-times[last-1], 15*time.Second)
		after(time.Minute)
		b.line().end(errUnwanted)
		before := len(b.times())
		after(nearFirst)
		require.Len(t, b.times(), before+1, "one that lasted was wanted")
		b.stop()
	})
}

func TestALineIsDialledBesideOneInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(_ context.Context, n int) error {
			if n > 1 {
				time.Sleep(time.Second)
			}
			return nil
		})
		first := b.line()
		first.setDoubt(true)
		synctest.Wait()
		require.Len(t, b.times(), 2, "at once")
		after(999 * time.Millisecond)
		require.NoError(t, first.cause(), "the first goes on until there is another")
		after(time.Millisecond)
		require.ErrorIs(t, first.cause(), errClosed)
		require.NoError(t, b.line().cause())
		require.Equal(t, 2, b.line().number)
		b.stop()
	})
}

func TestDoubtThatEndsEndsTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error {
			if n > 1 {
				return hang(ctx)
			}
			return nil
		})
		first := b.line()
		for n := range 3 {
			first.setDoubt(true)
			after(time.Second)
			require.Len(t, b.times(), n+2)
			first.setDoubt(false)
			synctest.Wait()
			after(time.Minute)
			require.Len(t, b.times(), n+2, "no more dials")
		}
		require.NoError(t, first.cause())
		b.stop()
	})
}

// A dial may have its line in the same moment in which the doubt ends.
func TestALineThatComesTooLateIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		released := make(chan struct{})
		b := start(t, func(_ context.Context, n int) error {
			if n > 1 {
				<-released
			}
			return nil
		})
		first := b.line()
		first.setDoubt(true)
		synctest.Wait()
		first.setDoubt(false)
		synctest.Wait()
		close(released)
		synctest.Wait()
		require.NoError(t, first.cause(), "the first goes on")
		require.ErrorIs(t, b.line().cause(), errClosed)
		require.Equal(t, 2, b.line().number)
		b.stop()
	})
}

// A line that was dead for long is left for a fresh one, if nothing is lost by it
// and the other comes soon.
func TestALineThatWasDeadForLongIsLeft(t *testing.T) {
	for _, c := range []struct {
		name        string
		dead, after time.Duration // how long the doubt lasts; when the other line comes
		moves, left bool
	}{
		{"dead for long", 10 * time.Second, 100 * time.Millisecond, true, true},
		{"dead for a moment", time.Second, 100 * time.Millisecond, true, false},
		{"the other comes late", 10 * time.Second, 2 * time.Second, true, false},
		{"what it carries would be lost", 10 * time.Second, 100 * time.Millisecond, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, func(ctx context.Context, n int) error {
					if n == 1 {
						return nil
					}
					select {
					case <-ctx.Done():
						return context.Cause(ctx)
					case <-time.After(c.dead + c.after):
						return nil
					}
				})
				b.hedge, b.moves = false, c.moves
				first := b.line()
				first.setDoubt(true)
				after(c.dead)
				first.setDoubt(false)
				after(time.Minute)
				if c.left {
					require.ErrorIs(t, first.cause(), errClosed)
					require.Equal(t, 2, b.line().number)
				} else {
					require.NoError(t, first.cause())
				}
				require.NoError(t, b.line().cause())
				b.stop()
			})
		})
	}
}

func TestTheDialGoesOnWhenTheLineInDoubtEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(_ context.Context, n int) error {
			if n > 1 {
				time.Sleep(time.Second)
			}
			return nil
		})
		b.line().setDoubt(true)
		after(100 * time.Millisecond)
		b.line().end(errBroken)
		after(900 * time.Millisecond)
		require.Len(t, b.times(), 2)
		require.Equal(t, 2, b.line().number)
		require.NoError(t, b.line().cause())
		b.stop()
	})
}

func TestALineThatEndsWhenItsDoubtHasEndedIsDialledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(ctx context.Context, n int) error {
			if n == 2 {
				<-ctx.Done()
				time.Sleep(time.Second) // a dial that is slow to stop
				return context.Cause(ctx)
			}
			return nil
		})
		after(stable)
		first := b.line()
		first.setDoubt(true)
		synctest.Wait()
		first.setDoubt(false)
		synctest.Wait()
		first.end(errBroken)
		after(time.Second)
		require.Len(t, b.times(), 3)
		require.NoError(t, b.line().cause())
		b.stop()
	})
}

// Both dials have a line: one is served, the other closed.
func TestOfTwoLinesOneIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(_ context.Context, n int) error {
			if n == 1 {
				time.Sleep(hedgeAfter + time.Second)
			} else {
				time.Sleep(time.Second)
			}
			return nil
		})
		after(2 * hedgeAfter)
		b.mu.Lock()
		lines := slices.Clone(b.lines)
		b.mu.Unlock()
		require.Len(t, lines, 2)
		require.True(t, (lines[0].cause() == nil) != (lines[1].cause() == nil))
		b.stop()
	})
}

func TestAKickEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(context.Context, int) error { return errRefused })
		after(10 * time.Minute) // the waits are long by now
		before := len(b.times())
		for n := range 3 {
			b.doKick()
			synctest.Wait()
			require.Len(t, b.times(), before+n+1)
		}
		b.stop()
	})
}

func TestAKickDuringADialIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, func(context.Context, int) error {
			time.Sleep(time.Second)
			return errRefused
		})
		b.hedge = false
		after(20 * time.Minute)
		for before := len(b.times()); len(b.times()) == before; { // until a dial has just begun
			after(100 * time.Millisecond)
		}
		before := len(b.times())
		b.doKick()
		after(1100 * time.Millisecond)
		require.Len(t, b.times(), before+1, "dialled again as soon as that dial had failed")
		b.stop()
	})
}
