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
	errUnwanted  = errors.New("hung up")
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
	moves  bool
	silent bool // nobody is reached by a dial

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
			Unwanted:  func(err error) bool { return errors.Is(err, errUnwanted) },
			Hedge:     func() bool { return b.hedge },
			Movable:   func(*fakeLine) bool { return b.moves },
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

func (b *bench) dialLine(ctx context.Context, reached func()) (*fakeLine, error) {
	b.mu.Lock()
	silent := b.silent
	b.mu.Unlock()
	if !silent {
		reached()
	}
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
