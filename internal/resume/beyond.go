package resume

import (
	"fmt"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// windows are sizes, in bytes, and what decides between them.
type windows struct {
	narrow  uint64 // a channel's window
	wide    uint64 // that beyond it
	backlog uint64 // what may be waiting for local when a wider one is granted

	held time.Duration // the least latency at which a wider one is asked for
}

// beyond is what a direction to the other end has on a channel beyond the
// channel's window.
type beyond struct {
	asked   bool   // for it, and not heard since
	askFrom uint64 // position from which to ask again
	window  uint64 // bytes beyond what is acknowledged; 0 if it hasn't got any
	refused bool   // the grant, which is to be said
	begun   bool   // all bytes go in data requests

	marked   time.Time     // when the bytes up to markedAt were written; zero if none wait to be measured
	markedAt uint64        // a position
	latency  time.Duration // the least from a write to its ack; 0 if it isn't known
}

// asks says whether to ask for a window before the bytes up to a.sent are
// written. If the Write is going to wait for the channel's window, more than that
// is unacknowledged; but so it may be where sockets hold much and nobody waits
// for long.
func (c *Conn) asks(a *attachment) bool {
	held := a.sent-c.out.acked > c.options.windows.narrow && a.beyond.latency >= c.options.windows.held
	if !held || c.options.Spare == nil || a.beyond.window > 0 || a.sent < a.beyond.askFrom {
		return false
	}
	a.beyond.asked, a.beyond.askFrom = true, a.sent+c.options.windows.narrow
	return true
}

// mark notes when the bytes up to a.sent are written, unless it waits for an ack
// of others.
func (b *beyond) mark(position uint64) {
	if b.marked.IsZero() {
		b.marked, b.markedAt = time.Now(), position
	}
}

// measure is an ack of a position. It comes later than a round trip, and sometimes
// much later, but the least is near.
func (b *beyond) measure(position uint64) {
	if b.marked.IsZero() || position < b.markedAt {
		return
	}
	took := time.Since(b.marked)
	if b.latency == 0 || took < b.latency {
		b.latency = took
	}
	b.marked = time.Time{}
}

// granted is the other end's word that so many bytes may be on the way.
func (c *Conn) granted(a *attachment, window uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.at != a:
		return
	case !a.beyond.asked:
		c.reset(fmt.Errorf("%w: a window that wasn't asked for", ErrProtocol), true)
		return
	}
	window = min(window, c.options.windows.wide)
	extra := window - min(window, c.options.windows.narrow)
	a.beyond.asked = false
	if extra <= c.out.extra { // which it had on a channel before
		a.beyond.window = window
	} else if c.options.Spare.take(extra - c.out.extra) {
		a.beyond.window, c.out.extra = window, extra
		c.room.Signal()
	} else {
		a.beyond.refused = true
	}
	c.flushSoon(a)
}

// allowed is how many of n bytes may be written now.
func (c *Conn) allowed(a *attachment, n int) int {
	if a.beyond.window == 0 {
		return n
	}
	limit := c.out.acked + a.beyond.window
	return int(min(uint64(n), limit-min(limit, a.sent))) // #nosec G115 -- lengths
}

// quiet says whether the other end has all there is.
func (c *Conn) quiet(a *attachment) bool { return a.sent == c.out.position() && c.out.acked == a.sent }

// narrow lets go what is beyond the channel's window, and says whether the other
// end is to hear of it.
func (c *Conn) narrow(a *attachment) (tell bool) {
	tell = a.beyond.window > 0
	a.beyond.window, a.beyond.begun = 0, false
	c.releaseExtra()
	return tell
}

// releaseExtra gives back what is kept for a wider window.
func (c *Conn) releaseExtra() {
	c.options.Spare.give(c.out.extra)
	c.out.extra = 0
}

// asked is the other end's word that it has sent the bytes before position, and
// is held back by the channel's window. They are all here: those that haven't been
// taken yet are waiting for local.
func (c *Conn) asked(a *attachment, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	extra := c.options.windows.wide - c.options.windows.narrow
	switch {
	case c.at != a:
	case a.granted > 0:
	case position > c.in.received+c.options.windows.backlog: // more would wait here, too
	case c.options.Spare.take(extra):
		a.granted = c.options.windows.wide
		c.tasks.Go(func() { // the caller mustn't wait
			payload := ssh.Marshal(sshwire.WindowGrant{Window: uint32(c.options.windows.wide)}) // #nosec G115 -- some MiB
			if _, err := a.channel.SendRequest(sshwire.RequestWindowGrant, false, payload); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.fault(a)
			}
		})
	}
}

// begun is the other end's word that the bytes from position on come in data
// requests.
func (c *Conn) begun(a *attachment, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.at != a:
	case a.granted == 0 || a.queue.open:
		c.reset(fmt.Errorf("%w: data requests that weren't granted", ErrProtocol), true)
	case position < c.in.received:
		c.reset(fmt.Errorf("%w: data requests from byte %d on, after %d bytes", ErrProtocol, position, c.in.received), true)
	default:
		a.queue.begin(position)
		c.windows++
	}
}

// came is the bytes of a data request.
func (c *Conn) came(a *attachment, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := a.queue.end + uint64(len(data))
	switch {
	case c.at != a:
	case !a.queue.open:
		c.reset(fmt.Errorf("%w: a data request that wasn't announced", ErrProtocol), true)
	case end > a.told+a.granted:
		c.reset(fmt.Errorf("%w: data up to byte %d, where %d were acknowledged and the window is %d", ErrProtocol, end, a.told, a.granted), true)
	case c.in.ended && end > c.in.total:
		c.reset(fmt.Errorf("%w: more than the %d bytes that it had announced", ErrProtocol, c.in.total), true)
	default:
		a.queue.push(data)
		c.deliverSoon(a)
	}
}

// narrowed is the other end's word that it makes no use of the window any more.
func (c *Conn) narrowed(a *attachment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.at != a:
	case a.granted == 0, a.queue.open && c.in.received != a.queue.end:
		c.reset(fmt.Errorf("%w: the end of a window that is in use", ErrProtocol), true)
	default:
		c.ungrant(a)
	}
}

// ungrant lets go what was granted on a channel, and what came by it. The bytes of
// the channel itself have their turn again.
func (c *Conn) ungrant(a *attachment) {
	if a.granted > 0 {
		c.options.Spare.give(c.options.windows.wide - c.options.windows.narrow)
	}
	a.granted, a.queue = 0, queue{}
	c.attached.Signal()
}

// deliverSoon has the queue be handed on, if its turn has come and nobody is at
// it. It is called with mu held, by who mustn't wait for local.
func (c *Conn) deliverSoon(a *attachment) {
	if a.delivering || !c.due(a) {
		return
	}
	a.delivering = true
	c.tasks.Go(func() { c.deliver(a) })
}

// due says whether the first byte of the queue is the next that local gets.
func (c *Conn) due(a *attachment) bool {
	return c.at == a && c.state == running && !c.in.handing && len(a.queue.parts) > 0 && a.queue.next == c.in.received
}

// deliver writes the queue of a channel to local, for as long as it is its turn.
func (c *Conn) deliver(a *attachment) {
	for {
		c.mu.Lock()
		if !c.due(a) {
			a.delivering = false
			c.mu.Unlock()
			return
		}
		data := a.queue.pop()
		c.in.received += uint64(len(data))
		c.in.handing = true
		c.mu.Unlock()
		if !c.hand(data) {
			return
		}
	}
}
