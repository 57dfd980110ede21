package lane

import (
	"sync"
	"sync/atomic"
	"time"

	"funnel/internal/tcpio"
)

// path watches the TCP connection below a lane: how much may be on its way, and
// whether what is sent now would wait behind something lost.
type path struct {
	socket *tcpio.Socket

	limit    atomic.Int64 // bytes that may be on their way, as of the last look
	troubled atomic.Bool  // as of the last look
	looked   atomic.Int64 // when that was, see Now
	marked   atomic.Int64 // when the last write was noted

	mu     sync.Mutex
	known  bool        // guarded by mu, as all below: the system tells
	info   tcpio.Info  // as of the last look
	marks  []mark      // what was written and not acknowledged, oldest first
	counts pathCounts  // what the last taker of counts has not seen yet
	base   *tcpio.Info // the Info that counts begin at
}

// mark notes that the stream's bytes up to end were written by the time at.
type mark struct {
	end uint64
	at  time.Duration
}

// pathCounts are segments of data sent, and sent again less those sent again for
// nothing, which may be negative, and how often the path got into trouble.
type pathCounts struct{ sent, again, stalls int }

func (c *pathCounts) add(other pathCounts) {
	c.sent += other.sent
	c.again += other.again
	c.stalls += other.stalls
}

// open reports whether TCP holds, unsent or unacknowledged, no more than the
// path can have on its way. Where the system doesn't tell it is always so.
func (p *path) open(now time.Duration) bool {
	held, ok := p.socket.Queued()
	if !ok || held <= heldLeast {
		return true
	}
	p.look(now)
	return int64(held) <= p.limit.Load()
}

// look asks the system anew, if the last answer is old.
func (p *path) look(now time.Duration) {
	last := p.looked.Load()
	if now-time.Duration(last) < lookAge || !p.looked.CompareAndSwap(last, int64(now)) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	info, ok := p.socket.Info()
	if !ok {
		p.known = false
		p.limit.Store(heldMost)
		return
	}
	p.judge(now, info, info.Held())
}

// wrote notes that something was just written, to know later how long it has
// waited for its acknowledgement.
func (p *path) wrote(now time.Duration) {
	if now-time.Duration(p.marked.Load()) < lookAge {
		return
	}
	p.marked.Store(int64(now))
	queued, ok := p.socket.Queued()
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mark(now, p.info.BytesAcked+uint64(queued)) // #nosec G115 -- a length
}

// mark adds a mark, unless all up to end was marked before.
func (p *path) mark(now time.Duration, end uint64) {
	n := len(p.marks)
	switch {
	case n > 0 && p.marks[n-1].end >= end:
	case n == maxMarks:
		p.marks[n-1] = mark{end: end, at: now}
	default:
		p.marks = append(p.marks, mark{end: end, at: now})
	}
}

// judge draws the conclusions from the system's answer; queued is the bytes
// that TCP holds. The path is locked.
func (p *path) judge(now time.Duration, info tcpio.Info, queued int) {
	p.known, p.info = true, info
	p.limit.Store(int64(heldLimit(info)))
	stalled := p.stalled(now, info, queued)
	troubled := stalled || info.Congestion == tcpio.CongestionRecovery ||
		info.Congestion == tcpio.CongestionLoss || info.Congestion == tcpio.CongestionDisorder
	if troubled && !p.troubled.Load() {
		p.counts.stalls++
	}
	p.troubled.Store(troubled)
	p.count(info)
}

// stalled reports whether something written has waited for its acknowledgement
// longer than a round trip takes.
func (p *path) stalled(now time.Duration, info tcpio.Info, queued int) bool {
	acked := info.BytesAcked
	done := 0
	for done < len(p.marks) && p.marks[done].end <= acked {
		done++
	}
	p.marks = append(p.marks[:0], p.marks[done:]...)
	if queued > 0 {
		p.mark(now, acked+uint64(queued))
	}
	return len(p.marks) > 0 && now-p.marks[0].at > info.SRTT+4*info.RTTVar+stallSlack
}

// count adds what happened since the last look.
func (p *path) count(info tcpio.Info) {
	if p.base != nil {
		sent := int(info.DataSegsOut - p.base.DataSegsOut)
		again := int(info.TotalRetrans-p.base.TotalRetrans) - int(info.DSACKDups-p.base.DSACKDups)
		p.counts.add(pathCounts{sent: sent, again: again})
		*p.base = info
		return
	}
	base := info
	p.base = &base
}

// take returns the counts since it was last called.
func (p *path) take() pathCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.counts
	p.counts = pathCounts{}
	return c
}

// last is the system's last answer.
func (p *path) last() (tcpio.Info, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.info, p.known
}

// heldLimit is heldGain times the bandwidth-delay product, within bounds. The
// kernel's delivery rate follows what we send, as long as the path carries it,
// so the limit grows by the gain each round trip until the path is full.
func heldLimit(info tcpio.Info) int {
	product := float64(info.DeliveryRate) * info.MinRTT.Seconds()
	return int(max(heldLeast, float64(heldSegments*info.SndMSS), min(heldGain*product, heldMost)))
}
