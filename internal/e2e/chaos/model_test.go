//go:build linux

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"sync"
	"time"
)

// disturbance is a time in which connections may break: a program was killed,
// and the funnel isn't up again; or one is out of descriptors.
type disturbance struct {
	begun, over time.Time // over is zero while it lasts
	opening     bool      // it hurts only connections that are being opened
	relay       bool      // it is the relay's: ports may refuse, and a kernel ends what a killed relay held
}

// disturbances are all of a run.
type disturbances struct {
	mu   sync.Mutex
	list []*disturbance // guarded by mu
}

func (d *disturbances) begin(one disturbance) *disturbance {
	d.mu.Lock()
	defer d.mu.Unlock()
	one.begun = time.Now()
	d.list = append(d.list, &one)
	return &one
}

func (d *disturbances) end(one *disturbance) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if one.over.IsZero() {
		one.over = time.Now()
	}
}

// excuse reports whether a connection that was opened then may break now; the
// relay alone may have been the cause of some ways to.
func (d *disturbances) excuse(opened time.Time, relay bool) bool {
	// What is seen here of an end or a beginning may be a little late.
	const slack = time.Second
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range d.list {
		after := !one.over.IsZero() && opened.After(one.over.Add(slack))
		before := one.opening && opened.Before(one.begun.Add(-slack))
		if !after && !before && (one.relay || !relay) {
			return true
		}
	}
	return false
}

// faulty is how many faults there are at present.
type faulty struct {
	mu    sync.Mutex
	count int       // guarded by mu
	since time.Time // guarded by mu: when the last one began or ended
}

// add notes that a fault began, with 1, ended, with -1, or did both, with 0.
func (f *faulty) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count += n
	f.since = time.Now()
}

// well reports whether there is none, and since when.
func (f *faulty) well() (bool, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count == 0, f.since
}

// saidUp is how often an agent has said that everything is up.
func saidUp(p *process) int {
	return len(regexp.MustCompile(`(?m)^funnel is up`).FindAllString(p.said(), -1))
}

// traffic is what streams came to.
type traffic struct {
	mu      sync.Mutex
	streams int           // guarded by mu, as all: that ended as they should
	broken  int           // in a disturbance
	bytes   uint64        // that came back
	longest time.Duration // between two answers
	unfair  time.Duration // as progress.unfair
	nextID  uint64
}

// keepStream has a stream open all the time, each as drawn by draw.
func (w *world) keepStream(ctx context.Context, number uint64, draw func(*rand.Rand) plan, d *disturbances, tr *traffic) {
	random := rand.New(rand.NewPCG(number, 2))
	for ctx.Err() == nil {
		tr.mu.Lock()
		tr.nextID++
		id := tr.nextID
		tr.mu.Unlock()
		opened := time.Now()
		s, err := w.openStream(ctx, id, draw(random))
		if err == nil {
			err = s.run(ctx)
			tr.mu.Lock()
			tr.bytes += s.answered
			tr.longest, tr.unfair = max(tr.longest, s.longest), max(tr.unfair, s.unfair)
			tr.mu.Unlock()
		}
		var wrong *corrupt
		// To hang is no way to break.
		hangs := errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
		switch {
		case err == nil:
			tr.mu.Lock()
			tr.streams++
			tr.mu.Unlock()
		case errors.As(err, &wrong):
			w.wrong.add("stream %d, opened %.3fs after the beginning: %v", id, opened.Sub(w.wrong.begun).Seconds(), err)
		case s == nil && ctx.Err() != nil:
		case !hangs && d.excuse(opened, s == nil || errors.Is(err, errShort)):
			tr.mu.Lock()
			tr.broken++
			tr.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
		default:
			w.wrong.add("stream %d, opened %.3fs after the beginning, broke: %v", id, opened.Sub(w.wrong.begun).Seconds(), err)
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// The kinds of streams.
var (
	endless  = func(*rand.Rand) plan { return chat }
	requests = func(r *rand.Rand) plan {
		return plan{chunk: 1 + r.IntN(8<<10), pause: time.Duration(r.IntN(50)) * time.Millisecond, total: 1 + r.Uint64N(100_000)}
	}
	bursts = func(r *rand.Rand) plan {
		return plan{chunk: 64<<10 + r.IntN(256<<10), pause: 300 * time.Millisecond, total: 1 + r.Uint64N(8<<20)}
	}
)

func (tr *traffic) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return fmt.Sprintf("%d ended in order, %d broken by kills and the like, %.1f MB back and right", tr.streams, tr.broken, float64(tr.bytes)/1e6)
}
