package lane

import (
	"sync"
	"time"
)

// lateCopies holds the last of three copies back for a moment. What is sent on several
// lanes at once is lost on all of them in an outage of a few milliseconds, as of a
// radio link, and then they all wait for the same round trip. A copy that leaves
// a little later, on a lane of its own, gets through when the outage is over.
// Safe for concurrent use.
type lateCopies struct {
	set *Set

	mu    sync.Mutex
	queue []lateCopy  // guarded by mu, as timer; the oldest first
	timer *time.Timer // runs while there is something in queue
}

// lateCopy is a copy that waits, with one reference to its packet.
type lateCopy struct {
	packet *packet
	due    time.Duration // see Now
	used   uint32        // the slots of the lanes that have it, a bit each
}

// hold takes over one reference to p; false if too many wait already.
func (h *lateCopies) hold(p *packet, used uint32, now time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) >= lateMost {
		return false
	}
	if len(h.queue) == 0 {
		if h.timer == nil {
			h.timer = time.AfterFunc(lateDelay, h.fire)
		} else {
			h.timer.Reset(lateDelay)
		}
	}
	h.queue = append(h.queue, lateCopy{packet: p, due: now + lateDelay, used: used})
	return true
}

// fire sends what is due, and comes again for what isn't yet.
func (h *lateCopies) fire() {
	now := Now()
	var due []lateCopy
	h.mu.Lock()
	n := 0
	for n < len(h.queue) && h.queue[n].due <= now {
		n++
	}
	due = append(due, h.queue[:n]...)
	h.queue = append(h.queue[:0], h.queue[n:]...)
	if len(h.queue) > 0 {
		h.timer.Reset(max(h.queue[0].due-now, 0))
	}
	h.mu.Unlock()
	for _, c := range due {
		h.set.sendLate(c, now)
	}
	if len(due) > 0 {
		h.set.Flush()
	}
}

// sendLate sends a copy on a lane that doesn't have it and isn't in trouble, or
// on none.
func (s *Set) sendLate(c lateCopy, now time.Duration) {
	lanes := s.Lanes()
	for i := range lanes {
		l := lanes[(int(c.packet.sequence%uint32(len(lanes)))+i)%len(lanes)] // #nosec G115 -- below len(lanes)
		if c.used&(1<<l.Slot()) == 0 && !l.Troubled(now) {
			s.counters.copies.Add(1)
			l.push(c.packet)
			return
		}
	}
	c.packet.release()
}
