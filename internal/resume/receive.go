package resume

import (
	"fmt"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// receive reads one channel after the other, and writes what it reads to local.
func (c *Conn) receive() {
	buffer := newChunk(smallChunk)
	defer func() { buffer.recycle() }()
	for {
		a := c.await()
		if a == nil {
			return
		}
		n, err := a.channel.Read(buffer.data)
		if n > 0 && c.take(a, n) && !c.hand(buffer.data[:n]) {
			return
		}
		if size := nextSize(len(buffer.data), len(buffer.data), n); size != len(buffer.data) {
			buffer.recycle()
			buffer = newChunk(size)
		}
		if err != nil {
			c.mu.Lock()
			c.fault(a)
			c.mu.Unlock()
		}
	}
}

// await waits for a channel. It is nil when the conn has ended.
func (c *Conn) await() *attachment {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.state == running && (c.at == nil || c.at.broken) {
		c.attached.Wait()
	}
	if c.state != running {
		return nil
	}
	return c.at
}

// take counts n bytes that were read from a channel, if that is still in use. It
// waits for its turn while bytes that came in data requests have theirs.
func (c *Conn) take(a *attachment, n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.at == a && (c.in.handing || a.queue.open && c.in.received == a.queue.next) {
		c.attached.Wait()
	}
	if c.at != a {
		return false
	}
	if a.queue.open && uint64(n) > a.queue.next-c.in.received { // #nosec G115 -- a length
		c.reset(fmt.Errorf("%w: bytes from %d on in the channel and in requests", ErrProtocol, a.queue.next), true)
		return false
	}
	if c.in.ended && uint64(n) > c.in.total-c.in.received { // #nosec G115 -- a length
		c.reset(fmt.Errorf("%w: more than the %d bytes that it had announced", ErrProtocol, c.in.total), true)
		return false
	}
	c.in.received += uint64(n) // #nosec G115 -- a length
	c.in.handing = true
	return true
}

// hand writes to local what was taken. After an error, which has ended the conn,
// it is false.
func (c *Conn) hand(data []byte) bool {
	_, err := c.local.Write(data)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.handing = false
	c.attached.Signal()
	if err != nil {
		c.reset(fmt.Errorf("write: %w", err), true)
		return false
	}
	if c.at != nil {
		c.deliverSoon(c.at)
	}
	switch {
	case c.in.complete():
		c.passEnd()
	case c.at == nil: // the next channel begins with it
	case c.in.received-c.at.told >= ackEvery:
		c.acknowledge()
	default:
		c.lazy.start(ackWithin)
	}
	return true
}

// ended is the other end's word that its direction has total bytes.
func (c *Conn) ended(a *attachment, total uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.at != a:
	case c.in.ended && total != c.in.total:
		c.reset(fmt.Errorf("%w: an end after %d bytes, and one after %d", ErrProtocol, c.in.total, total), true)
	case total < max(c.in.received, a.queue.end):
		c.reset(fmt.Errorf("%w: an end after %d bytes, of which %d were sent", ErrProtocol, total, max(c.in.received, a.queue.end)), true)
	default:
		c.in.ended, c.in.total = true, total
		if c.in.complete() {
			c.tasks.Go(func() { // the caller mustn't wait for the ack
				c.mu.Lock()
				defer c.mu.Unlock()
				c.passEnd()
			})
		}
	}
}

// passEnd ends our sending to local when all was written to it, and says so. It
// is called with mu held, and gives it up meanwhile.
func (c *Conn) passEnd() {
	if c.state != running || !c.in.complete() || c.in.handing || c.in.closing {
		return
	}
	c.in.closing = true
	c.mu.Unlock()
	// A local that can't be told is gone, and its other direction says so.
	_ = c.local.CloseWrite()
	c.mu.Lock()
	c.in.closed = true
	c.acknowledge()
	c.settle()
}

// acknowledge tells the other end what was received, unless it was told already
// or there is no channel. It is called with mu held, and gives it up meanwhile;
// acks go out one after the other all the same.
func (c *Conn) acknowledge() {
	a := c.at
	if a == nil || a.acking || a.broken {
		return
	}
	a.acking = true
	for position := c.in.position(); c.at == a && (a.owes || position > a.told); position = c.in.position() {
		a.owes, a.told = false, position
		payload := ssh.Marshal(sshwire.Ack{Position: position})
		c.mu.Unlock()
		_, err := a.channel.SendRequest(sshwire.RequestAck, false, payload)
		c.mu.Lock()
		if err != nil {
			c.fault(a)
			break
		}
		c.in.told = max(c.in.told, position)
	}
	a.acking = false
	c.settle()
}
