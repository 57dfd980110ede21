package agent

import (
	"errors"
	"log/slog"
	"time"

	"funnel/internal/forward"
)

// lateUDP is what a board knows of UDP forwards that have no answer although all
// others have theirs. Guarded by the board's mu.
type lateUDP struct {
	log   *slog.Logger
	works func() bool // the link of the TCP forwards

	overdue bool        // for udpPatience and longer
	since   time.Time   // when they have none; zero if they do
	said    bool        // that UDP isn't carried
	reason  error       // why there is no lane, as far as it is known
	timer   *time.Timer // runs while the answers are awaited
	run     int         // how often it was begun or stopped
	closed  bool
}

// errNoLane is why there is no answer when no lane has failed yet.
var errNoLane = errors.New("no connection for it yet")

// why is the reason as it is shown to a person.
func (l *lateUDP) why() error {
	if l.reason == nil {
		return errNoLane
	}
	return errors.New(printable(l.reason.Error()))
}

// stop has nobody wait any more.
func (l *lateUDP) stop() {
	l.overdue = false
	l.run++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// begin has the board look again after d.
func (l *lateUDP) begin(b *board, d time.Duration) {
	l.run++
	run := l.run
	l.timer = time.AfterFunc(d, func() { b.overdue(run) })
}

// due says whether it is time to report: when every forward has an answer or, so
// that nobody waits for UDP to learn that TCP is up, when only UDP forwards have had
// none for udpPatience. Holds b.mu.
func (b *board) due() bool {
	var tcp, awaited, carried bool
	missing := 0
	for i, a := range b.answers {
		udp := b.forwards[i].Network == forward.UDP
		tcp = tcp || !udp
		awaited = awaited || !udp && !a.known
		carried = carried || udp && a.public != ""
		if !a.known {
			missing++
		}
	}
	l := &b.late
	switch {
	case missing == 0:
		l.stop()
		if l.said && carried {
			l.log.Info("udp is carried again", "away", time.Since(l.since).Round(time.Millisecond))
		}
		l.since, l.said = time.Time{}, false
		return true
	case !tcp || awaited || l.closed:
		l.stop()
		if !l.said {
			l.since = time.Time{}
		}
		return false
	}
	if l.since.IsZero() {
		l.since = time.Now()
	}
	if l.timer == nil {
		l.begin(b, udpPatience)
	}
	return l.overdue
}

// overdue is called when UDP forwards have had no answer for udpPatience, and then
// every outageRepeat. A link that may be dead says nothing about them.
func (b *board) overdue(run int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.late
	switch {
	case run != l.run:
		return
	case !l.works():
		l.begin(b, udpPatience)
		return
	}
	l.begin(b, outageRepeat)
	l.overdue, l.said = true, true
	l.log.Warn("udp is not carried, though the relay is reached", "error", l.why(), "away", time.Since(l.since).Round(time.Millisecond))
	b.tell()
}

// noLane notes why a lane has ended, or couldn't be made.
func (b *board) noLane(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late.reason = describe(err)
}

// close ends the waiting: nothing is reported any more for it.
func (b *board) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late.closed = true
	b.late.stop()
}
