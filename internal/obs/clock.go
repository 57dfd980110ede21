package obs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// noteworthyStep is what a wall clock is set by at least to be told of: less than
// a leap second, and the corrections of NTP that are stepped, put no line in doubt.
const noteworthyStep = 2 * time.Second

// clocked is a handler that tells of a wall clock that was set, with the first
// record by the new time: from there on the log's times are others. Some clocks
// that only measure stand still while a machine sleeps, so that looks the same.
type clocked struct {
	slog.Handler
	told *slog.Logger // to the same log
	wall *wallClock   // of all handlers derived from one
}

func newClocked(h slog.Handler) clocked {
	now := time.Now()
	// Rounded, a time has no reading of the clock that only measures (package time).
	return clocked{Handler: h, told: slog.New(h), wall: &wallClock{begun: now, wall: now.Round(0)}}
}

func (c clocked) Handle(ctx context.Context, r slog.Record) error {
	if step := c.wall.step(r.Time); step != 0 {
		c.wall.throttle.Info(c.told, "the clock was set, or the machine slept", "step", step)
	}
	return c.Handler.Handle(ctx, r)
}

func (c clocked) WithAttrs(attrs []slog.Attr) slog.Handler {
	c.Handler = c.Handler.WithAttrs(attrs)
	return c
}

func (c clocked) WithGroup(name string) slog.Handler {
	c.Handler = c.Handler.WithGroup(name)
	return c
}

// wallClock compares the time of day with the time that has passed. Its methods
// may be called at the same time.
type wallClock struct {
	begun    time.Time // static, as wall; by the clock that only measures
	wall     time.Time // the same by the wall clock alone
	throttle Throttle

	mu   sync.Mutex
	last time.Time     // of the step before; guarded by mu, as off
	off  time.Duration // that the wall clock was then, compared with the beginning
}

// step is by how much the clock was set since the step before, more than 0 for
// forward, and 0 if that isn't noteworthy. A time from before that step says
// nothing, nor does one that time.Now hasn't made.
func (w *wallClock) step(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now.Sub(w.last) < 0 {
		return 0
	}
	off := now.Round(0).Sub(w.wall) - now.Sub(w.begun)
	step := off - w.off
	if step.Abs() < noteworthyStep {
		return 0
	}
	w.last, w.off = now, off
	return step.Round(time.Millisecond)
}
