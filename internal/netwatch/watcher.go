// Package netwatch notices what makes it worth dialing a relay again at once:
// the host's addresses, links or routes change, or the machine has slept.
//
// On Linux the kernel tells of changes over rtnetlink(7). Elsewhere, and where
// netlink is refused, the addresses are compared every few seconds. Either way
// what counts is the difference between two states: messages that change
// nothing, such as a lifetime renewed, are no change.
package netwatch

import (
	"context"
	"log/slog"
	"time"
)

// Watcher watches the host's network and its sleep.
type Watcher struct {
	log     *slog.Logger
	changes chan Change // holds one; only Run sends

	// What the tests replace.
	open  func(*slog.Logger) source
	clock func() sleepClock
}

// source tells of the host's network. The goroutine that opened it uses it.
type source interface {
	// snapshot reads the state as it is now.
	snapshot() (state, error)
	// hints yields when the state may have changed, and is closed when the
	// source can tell no more. A nil channel: it must be asked.
	hints() <-chan hint
	close()
}

// hint says that the state may have changed.
type hint struct {
	lost bool // more came at once than could be read
}

// sleepClock returns for how long the machine has slept, counted from anywhere.
// It is asked once a tick.
type sleepClock func() time.Duration

// New returns a Watcher, which watches once it runs. What keeps it from seeing
// all there is goes to log.
func New(log *slog.Logger) *Watcher {
	return &Watcher{log: log, changes: make(chan Change, 1), open: openSource, clock: newSleepClock}
}

// Changes yields what has changed, some 200 ms after it did; of a sleep, within
// a second of waking. Changes that nobody has received yet are one. The channel
// is never closed.
func (w *Watcher) Changes() <-chan Change { return w.changes }

// Run watches until ctx ends. It is called once. Everything it opens is
// gone when it returns.
func (w *Watcher) Run(ctx context.Context) {
	e := &eye{watcher: w, source: w.open(w.log), clock: w.clock()}
	defer func() { e.source.close() }()
	e.slept = e.clock()
	e.look(false)
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	settled := time.NewTimer(0)
	settled.Stop()
	defer settled.Stop()
	var waiting, lost bool
	for {
		select {
		case <-ctx.Done():
			return
		case h, open := <-e.source.hints():
			if !open {
				e.fallBack()
				continue
			}
			lost = lost || h.lost
			if !waiting {
				waiting = true
				settled.Reset(settleTime)
			}
		case <-settled.C:
			e.look(lost)
			waiting, lost = false, false
		case <-tick.C:
			e.tick()
		}
	}
}

// tell hands on what was seen, without waiting for anyone.
func (w *Watcher) tell(seen []string) {
	if len(seen) == 0 {
		return
	}
	change := Change{}.and(Change{Seen: seen})
	select {
	case untold := <-w.changes:
		change = untold.and(change)
	default:
	}
	w.changes <- change // there is room, as nobody else sends
}
