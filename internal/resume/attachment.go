package resume

import (
	"fmt"

	"golang.org/x/crypto/ssh"
)

// attachment is the use of one channel.
type attachment struct {
	channel  ssh.Channel
	requests <-chan *ssh.Request
	released chan struct{} // closed when requests ended

	// Guarded by Conn.mu. A goroutine that is stuck in an old channel knows it by
	// Conn.at, which is another attachment then.
	known   bool   // where the other end is; until then nothing is sent
	sent    uint64 // position up to which a Write has begun
	writing bool   // somebody is writing
	broken  bool   // nothing can be read from it or written to it any more
	owes    bool   // an ack, whether there is something new or not
	acking  bool   // somebody is sending an ack
	told    uint64 // position that an ack was begun with
	beyond  beyond // what may be sent beyond the channel's window

	granted    uint64 // how many bytes beyond what it was told the other end may send; 0 if it is the channel's affair
	queue      queue  // what came by that
	delivering bool   // somebody writes the queue to local
}

// attach makes the channel the present one, if the conn is still there and admit,
// which is called with mu held, lets it.
func (c *Conn) attach(channel ssh.Channel, requests <-chan *ssh.Request, admit func(*attachment) bool) <-chan struct{} {
	a := &attachment{channel: channel, requests: requests, released: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == over:
		// Run may have returned: these two end with the channel.
		go c.drain(a)
		go closeChannel(channel, c.err != nil)
		return a.released
	case c.state == telling:
		c.tasks.Go(func() { c.drain(a) })
		c.tasks.Go(func() { closeChannel(channel, true) })
		c.finish()
		return a.released
	case c.orphaned || !admit(a):
		c.tasks.Go(func() { c.drain(a) })
		c.tasks.Go(func() { closeChannel(channel, false) })
		return a.released
	}
	c.channels++
	c.away.stop()
	a.told = c.in.position()
	c.in.told = a.told
	if a.owes {
		c.in.told = 0 // the other end waits to hear it on this channel, whatever it heard before
	}
	c.at = a
	c.tasks.Go(func() { c.drain(a) })
	c.attached.Signal()
	if a.known {
		c.know(a, a.sent)
	}
	return a.released
}

// know begins to send from where the other end is.
func (c *Conn) know(a *attachment, position uint64) {
	if position < c.out.acked || position > c.out.highest {
		c.reset(fmt.Errorf("%w: an ack of %d, between %d and %d", ErrProtocol, position, c.out.acked, c.out.highest), true)
		return
	}
	a.known, a.sent = true, position
	c.out.release(position)
	c.out.kept.rewind()
	c.room.Signal()
	if a.sent < c.out.position() {
		c.flushSoon(a)
	}
	c.settle()
}

// fault notes that reading or writing has failed. The channel stays the present
// one until drain has taken the requests that came before, as the other end may
// have closed it behind its last ack.
func (c *Conn) fault(a *attachment) {
	if c.at != a || a.broken {
		return
	}
	a.broken = true
	c.tasks.Go(func() { closeChannel(a.channel, false) }) // if it was an EOF alone
	c.away.start(c.options.Patience)
}

// lose ends the use of a channel, if it is the present one.
func (c *Conn) lose(a *attachment) {
	if c.at != a {
		return
	}
	c.at = nil
	c.in.forget()
	c.ungrant(a)
	if !a.broken {
		c.tasks.Go(func() { closeChannel(a.channel, false) })
	}
	c.away.start(c.options.Patience)
}
