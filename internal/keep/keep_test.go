package keep

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errUnreached = errors.New("nobody is there")
	errRefused   = errors.New("refused")
	errBroken    = errors.New("the line broke")
	errForGood   = errors.New("never")
	errClosed    = errors.New("closed by the keeper")
)

// fakeLine is a line that a test breaks, or has doubted.
type fakeLine struct {
	number int

	mu      sync.Mutex
	doubt   bool
	changed chan struct{}
	ended   chan struct{}
	err     error // why it ended
}

func (l *fakeLine) Doubt() (bool, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubt, l.changed
}

func (l *fakeLine) setDoubt(doubt bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doubt = doubt
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLine) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
		close(l.ended)
	}
}

func (l *fakeLine) Close() error {
	l.end(errClosed)
	return nil
}

func (l *fakeLine) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// bench is a keeper under test, on a clock of its own.
type bench struct {
	t     *testing.T
	begun time.Time

	mu     sync.Mutex
	dial   func(ctx context.Context, n int) error // of the dial number n, from 1; nil is a line at once
	dials  []time.Duration                        // when each began
	lines  []*fakeLine
	active int // lines that are served
	kick   chan struct{}
	lost   []time.Duration // announced waits
	hedge  bool

	cancel context.CancelCauseFunc
	done   chan error
}

// start runs a keeper. It must be called in a bubble of synctest.
func start(t *testing.T, dial func(ctx context.Context, n int) error) *bench {
	b := &bench{t: t, begun: time.Now(), dial: dial, kick: make(chan struct{}), hedge: true, done: make(chan error, 1)}
	ctx, cancel := context.WithCancelCause(t.Context())
	b.cancel = cancel
	go func() {
		b.done <- Run(ctx, Config[*fakeLine]{
			Dial:      b.dialLine,
			Serve:     b.serve,
			Permanent: func(err error) bool { return errors.Is(err, errForGood) },
			Unreached: func(err error) bool { return errors.Is(err, errUnreached) },
			Hedge:     func() bool { return b.hedge },
			Kick: func() <-chan struct{} {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.kick
			},
			Lost: func(_ error, retry time.Duration) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.lost = append(b.lost, retry)
			},
			Log: slog.New(slog.DiscardHandler),
		})
	}()
	synctest.Wait()
	return b
}

func (b *bench) dialLine(ctx context.Context) (*fakeLine, error) {
	b.mu.Lock()
	b.dials = append(b.dials, time.Since(b.begun))
	n := len(b.dials)
	dial := b.dial
	b.mu.Unlock()
	if dial != nil {
		if err := dial(ctx, n); err != nil {
			return nil, err
		}
	}
	l := &fakeLine{number: n, changed: make(chan struct{}), ended: make(chan struct{})}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, l)
	return l, nil
}

func (b *bench) serve(ctx context.Context, l *fakeLine) error {
	b.mu.Lock()
	b.active++
	active := b.active
	b.mu.Unlock()
	if active != 1 {
		b.t.Error("two lines are served at a time")
	}
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.active--
	}()
	select {
	case <-ctx.Done():
		l.end(context.Cause(ctx))
	case <-l.ended:
	}
	return l.cause()
}

// line is the line made last.
func (b *bench) line() *fakeLine {
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NotEmpty(b.t, b.lines)
	return b.lines[len(b.lines)-1]
}

func (b *bench) times() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.dials)
}

func (b *bench) doKick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.kick)
	b.kick = make(chan struct{})
}

// after lets time pass, and what is due then happen.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var errStopped = errors.New("stopped by the test")

// stop ends the keeper, which must have ended every line.
func (b *bench) stop() {
	b.t.Helper()
	b.cancel(errStopped)
	require.ErrorIs(b.t, <-b.done, errStopped)
	b.requireNoLine()
}

// requireNoLine is called when Run has returned.
func (b *bench) requireNoLine() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Zero(b.t, b.active)
	for _, l := range b.lines {
		require.Error(b.t, l.cause(), "line %d was left open", l.number)
	}
}

// hang is a dial that takes until its context ends.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

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

func TestALineThatIsDroppedAtOnceIsDialledMoreAndMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, nil)
		for range 12 {
			b.line().end(errBroken)
			before := len(b.times())
			for len(b.times()) == before {
				after(100 * time.Millisecond)
			}
		}
		times := b.times()
		require.Less(t, times[1]-times[0], time.Second)
		require.Greater(t, times[12]-times[11], 10*time.Second)
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
		b := start(t, func(ctx context.Context, _ int) error { return hang(ctx) })
		for range 20 {
			b.doKick()
			after(hedgeAfter)
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

func TestWhatIsPermanentEndsTheKeeper(t *testing.T) {
	for name, test := range map[string]struct {
		dial func(ctx context.Context, n int) error
		then func(b *bench)
	}{
		"a dial": {func(context.Context, int) error { return errForGood }, func(*bench) {}},
		"a line": {nil, func(b *bench) { b.line().end(errForGood) }},
		"a dial beside the line": {func(_ context.Context, n int) error {
			if n > 1 {
				return errForGood
			}
			return nil
		}, func(b *bench) { b.line().setDoubt(true) }},
		"a dial beside a dial": {func(ctx context.Context, n int) error {
			if n > 1 {
				return errForGood
			}
			return hang(ctx)
		}, func(*bench) { after(hedgeAfter) }},
		"a line beside which is dialled": {func(ctx context.Context, n int) error {
			if n > 1 {
				return hang(ctx)
			}
			return nil
		}, func(b *bench) {
			b.line().setDoubt(true)
			synctest.Wait()
			b.line().end(errForGood)
		}},
		"a line beside which there is another too late": {func(ctx context.Context, n int) error {
			if n > 1 {
				<-ctx.Done()
			}
			return nil
		}, func(b *bench) {
			b.line().setDoubt(true)
			synctest.Wait()
			b.line().end(errForGood)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, test.dial)
				test.then(b)
				require.ErrorIs(t, <-b.done, errForGood)
				b.requireNoLine()
			})
		})
	}
}

// The context may end at any point; the keeper ends with it, and leaves nothing.
func TestTheContextMayEndAtAnyPoint(t *testing.T) {
	slow := func(ctx context.Context, n int) error {
		if n == 1 {
			return nil
		}
		return hang(ctx)
	}
	for name, test := range map[string]struct {
		dial func(ctx context.Context, n int) error
		then func(b *bench)
	}{
		"while dialling":              {func(ctx context.Context, _ int) error { return hang(ctx) }, func(*bench) {}},
		"while dialling several":      {func(ctx context.Context, _ int) error { return hang(ctx) }, func(*bench) { after(3 * hedgeAfter) }},
		"while waiting":               {func(context.Context, int) error { return errRefused }, func(*bench) { after(time.Minute) }},
		"while serving":               {nil, func(*bench) {}},
		"while dialling beside":       {slow, func(b *bench) { b.line().setDoubt(true); synctest.Wait() }},
		"while waiting to dial again": {nil, func(b *bench) { b.line().end(errBroken); synctest.Wait(); b.line().end(errBroken); synctest.Wait() }},
		"when the line in doubt has ended": {slow, func(b *bench) {
			b.line().setDoubt(true)
			synctest.Wait()
			b.line().end(errBroken)
			synctest.Wait()
		}},
		"with a line at the same time": {func(ctx context.Context, n int) error {
			if n > 1 {
				<-ctx.Done()
			}
			return nil
		}, func(b *bench) { b.line().setDoubt(true); synctest.Wait() }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, test.dial)
				test.then(b)
				b.stop()
			})
		})
	}
}

// A line that takes its time to say goodbye may be in doubt meanwhile.
func TestNothingIsDialledAfterTheEndOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		line := &fakeLine{changed: make(chan struct{}), ended: make(chan struct{})}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- Run(ctx, Config[*fakeLine]{
				Dial: func(ctx context.Context) (*fakeLine, error) {
					if dials++; dials > 1 {
						return nil, hang(ctx)
					}
					return line, nil
				},
				Serve: func(ctx context.Context, l *fakeLine) error {
					<-ctx.Done()
					time.Sleep(time.Second)
					return l.Close()
				},
				Permanent: func(error) bool { return false },
				Unreached: func(error) bool { return false },
				Hedge:     func() bool { return true },
				Kick:      func() <-chan struct{} { return nil },
				Log:       slog.New(slog.DiscardHandler),
			})
		}()
		synctest.Wait()
		cancel(errStopped)
		synctest.Wait()
		line.setDoubt(true)
		require.ErrorIs(t, <-done, errStopped)
		require.Equal(t, 1, dials)
	})
}
