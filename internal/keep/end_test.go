package keep

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

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
		"a dial that makes room": {func(ctx context.Context, n int) error {
			<-ctx.Done()
			if n == 2 {
				return errForGood
			}
			return context.Cause(ctx)
		}, func(*bench) { after(2*hedgeAfter + stuckAfter) }},
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
				Dial: func(ctx context.Context, _ func()) (*fakeLine, error) {
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
