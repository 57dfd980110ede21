package resume

import (
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// send reads local until its end, and writes what it reads to the present
// channel. It reads on while there is none, as long as there is room.
func (c *Conn) send() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for size := smallChunk; ; {
		for c.state == running && c.out.read >= c.out.acked+uint64(c.options.Buffer) { // #nosec G115 -- a size
			c.room.Wait()
		}
		if c.state != running {
			return
		}
		space := c.out.kept.space(size, c.out.read)
		c.mu.Unlock()
		n, err := c.local.Read(space)
		c.mu.Lock()
		if c.state != running {
			return
		}
		c.out.kept.extend(n)
		c.out.read += uint64(n) // #nosec G115 -- a length
		size = nextSize(size, len(space), n)
		switch {
		case err == io.EOF:
			c.out.ended = true
			c.out.kept.filled()
			c.flush()
			return
		case err != nil:
			c.reset(fmt.Errorf("read: %w", err), true)
			return
		}
		c.flush()
	}
}

// flush writes to the present channel what it hasn't got yet, unless somebody
// else is at it. It is called with mu held, and gives it up while it writes.
func (c *Conn) flush() {
	a := c.at
	if a == nil || !a.known || a.writing || a.broken {
		return
	}
	a.writing = true
	for c.at == a && !a.broken {
		chunk, data := c.out.kept.piece(a.sent)
		var err error
		switch {
		case chunk != nil:
			c.advance(a, uint64(len(data)))
			chunk.writers++
			c.mu.Unlock()
			_, err = a.channel.Write(data)
			c.mu.Lock()
			c.out.kept.written(chunk)
		case a.sent < c.out.position():
			c.advance(a, 1)
			payload := ssh.Marshal(sshwire.End{Total: c.out.read})
			c.mu.Unlock()
			_, err = a.channel.SendRequest(sshwire.RequestEnd, false, payload)
			c.mu.Lock()
		default:
			a.writing = false
			return
		}
		if err != nil {
			c.fault(a)
		}
	}
}

// advance notes what is going to be written: the ack may be here before the
// Write has returned.
func (c *Conn) advance(a *attachment, n uint64) {
	a.sent += n
	c.out.highest = max(c.out.highest, a.sent)
}

// acked is the other end's ack on channel a.
func (c *Conn) acked(a *attachment, position uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.at != a:
	case !a.known:
		c.know(a, position)
	case position < c.out.acked || position > a.sent:
		c.reset(fmt.Errorf("%w: an ack of %d, between %d and %d", ErrProtocol, position, c.out.acked, a.sent), true)
	default:
		c.out.release(position)
		c.room.Signal()
		c.settle()
	}
}
