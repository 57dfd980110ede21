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
		for c.state == running && c.out.read >= c.out.acked+uint64(c.options.Buffer)+c.out.extra { // #nosec G115 -- a size
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
		case a.beyond.refused:
			a.beyond.refused = false
			err = c.request(a, sshwire.RequestWindowEnd, nil)
		case c.quiet(a) && (a.beyond.window > 0 || c.out.extra > 0):
			if c.narrow(a) {
				err = c.request(a, sshwire.RequestWindowEnd, nil)
			}
		case chunk != nil:
			data = data[:c.allowed(a, len(data))]
			if len(data) == 0 { // until the next ack
				a.writing = false
				return
			}
			err = c.write(a, chunk, data)
		case a.sent < c.out.position():
			c.advance(a, 1)
			err = c.request(a, sshwire.RequestEnd, ssh.Marshal(sshwire.End{Total: c.out.read}))
		default:
			a.writing = false
			return
		}
		if err != nil {
			c.fault(a)
		}
	}
}

// flushSoon is flush by another goroutine: not by who has to go on reading
// requests, and not by who reads local and may be waiting for it.
func (c *Conn) flushSoon(a *attachment) {
	if a.writing { // who does so will see
		return
	}
	c.tasks.Go(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.flush()
	})
}

// write writes data, which lies in chunk and comes next, as the bytes of the
// channel or, beyond its window, as a request. It is called with mu held, and
// gives it up meanwhile.
func (c *Conn) write(a *attachment, chunk *chunk, data []byte) (err error) {
	from := a.sent
	c.advance(a, uint64(len(data)))
	a.beyond.mark(a.sent)
	asks, wide := c.asks(a), a.beyond.window > 0
	begins := wide && !a.beyond.begun
	a.beyond.begun = wide
	if begins {
		c.windows++
	}
	chunk.writers++
	c.mu.Unlock()
	switch {
	case asks:
		_, err = a.channel.SendRequest(sshwire.RequestWindowAsk, false, ssh.Marshal(sshwire.WindowAsk{Position: from}))
	case begins:
		_, err = a.channel.SendRequest(sshwire.RequestWindowBegin, false, ssh.Marshal(sshwire.WindowBegin{Position: from}))
	}
	switch {
	case err != nil:
	case wide:
		_, err = a.channel.SendRequest(sshwire.RequestData, false, data)
	default:
		_, err = a.channel.Write(data)
	}
	c.mu.Lock()
	c.out.kept.written(chunk)
	return err
}

// request sends a request. It is called with mu held, and gives it up meanwhile.
func (c *Conn) request(a *attachment, name string, payload []byte) error {
	c.mu.Unlock()
	defer c.mu.Lock()
	_, err := a.channel.SendRequest(name, false, payload)
	return err
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
		a.beyond.measure(position)
		c.out.release(position)
		c.room.Signal()
		if a.beyond.window > 0 || c.out.extra > 0 && c.quiet(a) {
			c.flushSoon(a)
		}
		c.settle()
	}
}
