package resume

import (
	"errors"
)

// What a conn ends with, unless it is an error of local or the end of a context.
var (
	ErrReset    = errors.New("the connection was reset at the other end")
	ErrGone     = errors.New("the other end doesn't know the connection any more")
	ErrAway     = errors.New("the connection had no link for too long")
	ErrProtocol = errors.New("the other end broke the protocol of resumable connections")
)

// settle ends the conn if both directions have ended and both ends know it. Like
// the others of this file it is called with mu held.
func (c *Conn) settle() {
	// That the other end has heard of its own end's arrival can't be known, only
	// that it was said: the other end may have finished and closed the channel
	// before SendRequest returned. If it hasn't heard, it learns by Gone.
	told := c.orphaned || c.in.told == c.in.position()
	if c.state == running && told && c.out.confirmed() && c.in.closed {
		c.conclude(nil, false)
	}
}

// abandon ends a conn that the other end will never come back to: cleanly if
// both ends were said, as the other end has done so then.
func (c *Conn) abandon(err error) {
	switch {
	case c.state == telling:
		c.finish()
	case c.state == running && c.out.said() && c.in.complete():
		c.out.release(c.out.position())
		c.orphaned = true
		c.settle() // or when local has the last bytes
	case c.state == running:
		c.reset(err, false)
	}
}

// giveUp is abandon for a conn that waited too long.
func (c *Conn) giveUp() { c.abandon(ErrAway) }

// interrupt resets the conn at once.
func (c *Conn) interrupt(err error) {
	if c.state == telling {
		c.finish()
		return
	}
	c.reset(err, c.at != nil)
}

// reset ends the conn for a reason. If the other end is to be told, and there is
// no channel to say it on, the next one will be.
func (c *Conn) reset(err error, tell bool) {
	if c.state != running {
		return
	}
	c.conclude(err, tell)
}

// conclude closes what there is. A nil err is a clean end.
func (c *Conn) conclude(err error, tell bool) {
	c.err = err
	a := c.at
	c.at = nil
	if a != nil {
		c.ungrant(a)
	}
	c.releaseExtra()
	c.tasks.Go(func() { c.closeLocal(err != nil) })
	switch {
	case a != nil:
		c.tasks.Go(func() { closeChannel(a.channel, tell) })
	case tell && c.channels > 0 && !c.orphaned: // there may be a next one
		c.state = telling
		c.room.Broadcast()
		c.attached.Broadcast()
		return
	}
	c.finish()
}

// finish ends everything.
func (c *Conn) finish() {
	c.state = over
	c.lazy.stop()
	c.away.stop()
	c.room.Broadcast()
	c.attached.Broadcast()
	close(c.done)
}

func (c *Conn) closeLocal(reset bool) {
	if reset {
		if tcp, ok := c.local.(interface{ SetLinger(seconds int) error }); ok {
			_ = tcp.SetLinger(0) // fails only if it is closed already
		}
	}
	_ = c.local.Close()
}
