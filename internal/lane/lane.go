// Package lane carries datagrams over the SSH connections of a session. A
// [Lane] is one such connection with its queues and its writer; a [Set] is a
// session's lanes and the choice among them. Relay and agent use the same.
//
// What waits, waits here, where it can be ordered fairly and dropped when it
// is too old: as little as possible is handed to SSH and TCP before it can
// leave.
package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"funnel/internal/mux"
	"funnel/internal/obs"
	"funnel/internal/tcpio"
)

// Config is what a Lane needs to know.
type Config struct {
	Slot     int           // 0 to MaxSlots-1, unique among the live lanes of a Set
	Mux      *mux.Mux      // the Lane is the only one to write its frames
	Socket   *tcpio.Socket // the TCP connection below, nil if there is none to ask
	MaxDelay time.Duration // age at which a datagram is dropped
	Drops    *obs.Drops
}

// Lane queues datagrams for one SSH connection and writes them. Any goroutine
// may push; whoever holds the writer's role (see begin) writes.
type Lane struct {
	config Config
	path   path
	inline bool // a write can be told not to block beforehand

	pushed atomic.Bool   // something was pushed since the last Flush
	handed chan struct{} // one slot: the writer's role is left to Run
	room   chan struct{} // one slot: the peer takes more again

	mu        sync.Mutex
	scheduler scheduler // guarded by mu
	urgent    []byte    // guarded by mu: records that aren't datagrams
	writing   bool      // guarded by mu: someone has the writer's role
	over      bool      // guarded by mu: nothing is taken any more

	// Owned by whoever has the writer's role.
	batch   []byte // mux.FrameSpace free bytes, then records
	written int    // of batch, where the next frame's records start
	err     error  // of a write, which is the end of the lane
}

// New makes a lane; Run starts it.
func New(config Config) *Lane {
	l := &Lane{
		config:    config,
		handed:    make(chan struct{}, 1),
		room:      make(chan struct{}, 1),
		scheduler: newScheduler(config.Slot, config.Drops),
		batch:     make([]byte, mux.FrameSpace, mux.FrameSpace+batchBytes),
		written:   mux.FrameSpace,
	}
	l.path.socket = config.Socket
	// Kernels before 6.15 can't, and do as they always did.
	_ = config.Socket.SetMinRTO(minRTO)
	_, l.inline = config.Socket.Queued()
	config.Mux.OnRoom(func() {
		select {
		case l.room <- struct{}{}:
		default:
		}
	})
	return l
}

// Slot is the lane's slot.
func (l *Lane) Slot() int { return l.config.Slot }

// push queues p and takes over one reference to it. Flush must follow.
func (l *Lane) push(p *packet) {
	l.mu.Lock()
	if l.over {
		l.mu.Unlock()
		l.config.Drops.Add(obs.DropLaneLost, 1)
		p.release()
		return
	}
	l.scheduler.push(p)
	l.mu.Unlock()
	l.pushed.Store(true)
}

// pushRecord queues a record that isn't a datagram, ahead of all datagrams.
// Too many are dropped: none is needed twice. Flush must follow.
func (l *Lane) pushRecord(record []byte) {
	l.mu.Lock()
	if !l.over && len(l.urgent)+len(record) <= urgentBytes {
		l.urgent = append(l.urgent, record...)
	}
	l.mu.Unlock()
	l.pushed.Store(true)
}

// Flush sends what was pushed. If nobody is writing and a write won't block it
// is done here and now, without a change of goroutine; otherwise whoever is
// writing takes it along, or Run does.
func (l *Lane) Flush() {
	if !l.pushed.Load() || !l.pushed.Swap(false) || !l.begin() {
		return
	}
	for range inlineRounds {
		if !l.inline || !l.open() || l.write() != nil {
			break
		}
		if l.finish() {
			return
		}
	}
	l.handed <- struct{}{}
}

// Answer queues a record that isn't a datagram and leaves the writing to Run:
// for whoever must never wait for a write, as those who read a lane.
func (l *Lane) Answer(record []byte) {
	l.pushRecord(record)
	if l.begin() {
		l.handed <- struct{}{}
	}
}

// begin takes the writer's role if it is free and there is work.
func (l *Lane) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing || l.over || l.idle() {
		return false
	}
	l.writing = true
	return true
}

// finish gives the writer's role back if nothing is left to write.
func (l *Lane) finish() bool {
	if l.written < len(l.batch) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.idle() {
		return false
	}
	l.writing = false
	return true
}

func (l *Lane) idle() bool { return len(l.urgent) == 0 && l.scheduler.empty() }

// Run is the lane's writer for all that Flush leaves to it. It returns when
// ctx ends, or with the error of a write; by then all that waited is dropped
// and nothing is taken any more.
func (l *Lane) Run(ctx context.Context) error {
	defer l.end()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.handed:
		}
		for done := false; !done; done = l.finish() {
			if l.err != nil {
				return l.err
			}
			if !l.wait(ctx) {
				return nil
			}
			if err := l.write(); err != nil {
				return err
			}
		}
	}
}

// end drops what waits.
func (l *Lane) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	l.scheduler.clear(obs.DropLaneLost)
	l.urgent = nil
}

// open reports whether a write is due: the peer takes some more, and TCP holds
// little enough that what waits would gain nothing from waiting there.
func (l *Lane) open() bool {
	return l.config.Mux.Room() >= leastRoom && l.path.open(Now())
}

// wait waits until open; false means that ctx ended first.
func (l *Lane) wait(ctx context.Context) bool {
	if l.open() {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(gatePoll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-l.room:
		case <-timer.C:
		}
		if l.open() {
			return true
		}
		timer.Reset(gatePoll)
	}
}

// write writes one frame: the rest of a batch larger than a frame, or a new
// batch of what waits now.
func (l *Lane) write() error {
	room := min(l.config.Mux.Room(), batchBytes)
	if l.written == len(l.batch) {
		l.gather(room)
	}
	n := min(len(l.batch)-l.written, room)
	if n == 0 {
		return nil // all that waited was too old
	}
	// The frame's header goes over bytes that are sent already.
	err := l.config.Mux.WriteFrame(l.batch[l.written-mux.FrameSpace : l.written+n])
	if err != nil {
		l.err = err
		return err
	}
	l.written += n
	l.path.wrote(Now())
	return nil
}

// gather fills the batch with up to limit bytes, or with one datagram that is
// larger.
func (l *Lane) gather(limit int) {
	b := l.batch[:mux.FrameSpace]
	l.mu.Lock()
	b = append(b, l.urgent...) // may be more than a frame; write splits it
	l.urgent = l.urgent[:0]
	if len(b) < limit {
		b = l.scheduler.gather(b, mux.FrameSpace+limit, Now()-l.config.MaxDelay)
	}
	l.mu.Unlock()
	l.batch, l.written = b, mux.FrameSpace
}

// Troubled reports whether what is sent now would probably wait behind
// something that was lost on the way.
func (l *Lane) Troubled(now time.Duration) bool {
	l.path.look(now)
	return l.path.troubled.Load()
}
