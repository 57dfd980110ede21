package sshwire

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/tcpio"
)

// Vigil watches whether a link's peer, and the path to it, are alive. Anything
// that comes from there is a sign of life. Silence brings a question, and a
// question that stays without an answer brings doubt: about a second after a path
// in use has died. Doubt ends with the next sign of life. Silence that lasts is
// the link's end.
type Vigil struct {
	// Static after NewVigil.
	transport *tcpio.Conn
	conn      ssh.Conn
	quiet     time.Duration // of an idle link before a question
	patience  time.Duration // of silence before the end
	socket    *tcpio.Socket
	alarm     *tcpio.Alarm  // wakes one that looks after an idle link
	prompted  chan struct{} // 1 slot

	mu      sync.Mutex
	doubt   bool          // guarded by mu, as all below
	since   time.Time     // when doubt last changed
	changed chan struct{} // closed, and made anew, when doubt changes
	rtt     time.Duration
}

// NewVigil makes the Vigil of conn, which runs over transport. Quiet is how long
// an idle link is silent before the peer is asked for a sign of life; one in use
// is asked sooner, and at the latest when half of the patience is over. After
// patience without any it is given up. Where one of them isn't positive there are
// no questions.
func NewVigil(transport *tcpio.Conn, conn ssh.Conn, quiet, patience time.Duration) *Vigil {
	return &Vigil{
		transport: transport, conn: conn, socket: tcpio.NewSocket(transport), alarm: transport.Alarm(),
		quiet: min(quiet, patience/2), patience: patience,
		prompted: make(chan struct{}, 1), changed: make(chan struct{}),
	}
}

// Doubt says whether the path may be dead. Changed is closed when that changes.
func (v *Vigil) Doubt() (doubt bool, changed <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.doubt, v.changed
}

// DoubtedSince is since when the path may be dead; false if nothing speaks for
// that.
func (v *Vigil) DoubtedSince() (time.Time, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.since, v.doubt
}

// Ask has the peer be asked for a sign of life now: there is a reason for doubt.
func (v *Vigil) Ask() {
	select {
	case v.prompted <- struct{}{}:
	default:
	}
}

// RTT is the time that the peer took to answer the last question; 0 if it was
// never asked. On an idle link it is the path's round trip and a little more.
func (v *Vigil) RTT() time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.rtt
}

func (v *Vigil) setDoubt(doubt bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.doubt != doubt {
		v.doubt, v.since = doubt, time.Now()
		close(v.changed)
		v.changed = make(chan struct{})
	}
}

// watch is what a Vigil knows while it runs.
type watch struct {
	*Vigil
	traffic           *traffic
	received, written uint64
	acked             uint64
	heard             time.Time // the last sign of life of the path
	proven            time.Time // the last one of the peer itself
	used              time.Time // the link was last in use
	counted           uint64    // bytes that have moved since counting
	counting          time.Time
	asked             time.Time // the question under way, if it is
	asking            bool
}

// Run watches until ctx or the link ends, or the peer is given up, for which it
// calls onDead once, with an error that is ErrSilent; onDead must close the link.
// When ctx ends, Run waits for the answer to the question under way, so that the
// owner must close the link then, too.
func (v *Vigil) Run(ctx context.Context, onDead func(error)) {
	if v.quiet <= 0 || v.patience <= 0 {
		return
	}
	now := time.Now()
	w := &watch{Vigil: v, traffic: newTraffic(v.transport), heard: now, proven: now}
	answered := make(chan error, 1)
	defer func() {
		if w.asking {
			<-answered
		}
	}()
	timer := time.NewTimer(w.next(now))
	defer timer.Stop()
	v.alarm.Set(1)
	for {
		prompted := false
		alarm := v.alarm.C
		if w.asking || w.inUse(time.Now()) { // and looks often anyway
			alarm = nil
		}
		select {
		case <-ctx.Done():
			return
		case err := <-answered:
			w.asking = false
			if err != nil {
				return // the link is closed
			}
			w.answer(time.Now())
		case <-v.prompted:
			prompted = true
		case <-alarm:
			timer.Reset(lookInUse) // and see what follows
			continue
		case <-timer.C:
		}
		now := time.Now()
		v.alarm.Set(1)
		w.look(now)
		if !w.asking && (prompted || !now.Before(w.due(now))) {
			w.asking, w.asked = true, now
			go func() { answered <- ask(v.conn) }()
		}
		if now.Sub(w.proven) >= v.patience {
			onDead(fmt.Errorf("%w for %s", ErrSilent, v.patience))
			return
		}
		v.setDoubt(w.doubtful(now))
		timer.Reset(w.next(now))
	}
}

// answer notes that the question was answered.
func (w *watch) answer(now time.Time) {
	w.mu.Lock()
	w.rtt = now.Sub(w.asked)
	w.mu.Unlock()
	w.heard, w.proven = now, now
	w.setDoubt(false)
}

// look takes in what has moved over the link since the last look.
func (w *watch) look(now time.Time) {
	received, written := w.transport.Moved()
	if now.Sub(w.counting) > usedWithin {
		w.counting, w.counted = now, 0
	}
	w.counted += received - w.received + written - w.written
	info, known := w.socket.Info()
	if received != w.received || known && info.BytesAcked != w.acked {
		w.heard = now
	}
	if w.traffic.moved() || received != w.received {
		w.proven = now
	}
	if w.counted > idleBytes {
		w.used, w.counted = now, 0
	}
	w.received, w.written, w.acked = received, written, info.BytesAcked
}

// doubtful says whether the answer is late, and nothing else has shown for as long
// that the path is alive: signs of life that came before it died must not hide it.
func (w *watch) doubtful(now time.Time) bool {
	since := w.asked
	if w.heard.After(since) {
		since = w.heard
	}
	if !w.asking || now.Sub(since) < w.answerTime() {
		return false
	}
	// If all was acknowledged the question has arrived: the peer is slow, not the
	// path dead.
	queued, known := w.socket.Queued()
	return !known || queued+w.transport.Gathered() > 0
}

// inUse says whether somebody would notice at once if the path died.
func (w *watch) inUse(now time.Time) bool { return now.Sub(w.used) < usedFor }

// due is when the peer is asked, if neither it nor the path shows life before:
// also the peer itself, for which its kernel may have answered.
func (w *watch) due(now time.Time) time.Time {
	due := w.heard.Add(w.quiet)
	if w.inUse(now) {
		due = w.heard.Add(min(w.quiet, quietInUse))
	} else {
		due = together(due, w.quiet)
	}
	if last := w.proven.Add(w.patience / 2); last.Before(due) {
		return last
	}
	return due
}

// together is the last moment not after t of those, once in every period, at which
// all idle links of this process ask, so that they wake it once. They count from
// the start of the process, so that a relay isn't asked by all its agents at once.
func together(t time.Time, period time.Duration) time.Time {
	over := t.Sub(begun) % period
	if over < 0 { // before the beginning, as in a test with a clock of its own
		over += period
	}
	return t.Add(-over)
}

// begun is when the process was started.
var begun = time.Now()

// answerTime is how long an answer may take before there is doubt. It goes by the
// kernel's round trip, if that is known: the one of the last question grows with
// each segment that was lost, and after trouble the next would take longer to see.
func (w *watch) answerTime() time.Duration {
	rtt := w.RTT()
	if info, ok := w.socket.Info(); ok && info.SRTT > 0 {
		rtt = info.SRTT
	}
	return answerLeast + min(answerRTTs*rtt, answerMost)
}

// next is when to look again, if the alarm doesn't go off before.
func (w *watch) next(now time.Time) time.Duration {
	if w.asking || w.inUse(now) {
		return lookInUse
	}
	return w.due(now).Sub(now)
}
