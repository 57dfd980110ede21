package probe

import (
	"context"
	"time"
)

// pacer waits for points in time more exactly than timers do: Go's may be a
// millisecond late when the program is idle, for epoll counts in milliseconds.
// It sleeps in the kernel and watches the clock for the last few microseconds.
type pacer struct {
	spin time.Duration
}

// newPacer must be called by the goroutine that will wait, whose thread it keeps
// until close. interval is the time between two waits.
func newPacer(interval time.Duration) *pacer {
	lockThread()
	return &pacer{spin: min(spin, time.Duration(spinShare*float64(interval)))}
}

// close gives the thread back. A goroutine that ends with its thread locked ends
// the thread, and with it every child that the thread started and that asked the
// kernel for that (prctl(2), PR_SET_PDEATHSIG): all programs in hosts of package
// wan do.
func (p *pacer) close() { unlockThread() }

// wait returns at t, or earlier with ctx's error when ctx ends.
func (p *pacer) wait(ctx context.Context, t time.Time) error {
	const most = 50 * time.Millisecond // how late ctx may be noticed
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		left := time.Until(t)
		switch {
		case left <= 0:
			return nil
		case left > p.spin:
			sleep(min(left-p.spin, most))
		}
	}
}
