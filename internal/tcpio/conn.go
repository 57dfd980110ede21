package tcpio

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Conn is a connection to run SSH over. SSH reads in many small pieces and writes
// each packet by itself; a Conn reads from the kernel in large pieces, and gathers
// what is written while a write to the kernel is under way, to write it with the
// next call.
//
// A write to an idle Conn is made at once by the caller, for the least delay. When
// writes follow each other closely, they are left with a goroutine of the Conn, so
// that SSH encrypts the next packet meanwhile, and what comes during a call to the
// kernel goes out with the next. When such a write fails, later ones report the
// error. Reading, writing and closing may happen at the same time.
type Conn struct {
	// Static after construction, but for limits.gather, which mu guards.
	inner  net.Conn
	limits limits
	start  time.Time // the zero of lastWrite

	readMu sync.Mutex
	buffer []byte // guarded by readMu, as is unread
	unread []byte // the part of buffer that was not read yet

	// Guarded by mu.
	mu        sync.Mutex
	change    sync.Cond   // there is room in gathered, writing ended, or err was set
	gathered  []byte      // to be written next; nil when empty
	held      *time.Timer // writes gathered when the rest of a packet does not come
	inFlight  int         // bytes that the current write to inner has
	writing   bool        // a caller or the flush goroutine is writing to inner
	err       error       // what Write returns from now on, once not nil
	closed    bool
	lastWrite time.Duration // when the latest write ended, since start

	received, written atomic.Uint64 // bytes
	alarms            atomic.Pointer[[]*Alarm]

	closeInner func() error // closes inner once
	closing    chan struct{}
	limiter    atomic.Pointer[rate.Limiter] // nil means no limit
}

// limits are the tunables of a Conn; see params.go for what they mean.
type limits struct {
	read, gather, piece int // bytes
	quiet               time.Duration
}

// NewConn returns a Conn over inner, which it owns from now on: closing the Conn
// closes inner.
func NewConn(inner net.Conn) *Conn {
	return newConn(inner, limits{read: readBuffer, gather: gatherLimit, piece: pieceLength, quiet: quietTime})
}

func newConn(inner net.Conn, limits limits) *Conn {
	c := &Conn{inner: inner, limits: limits, start: time.Now(), closeInner: sync.OnceValue(inner.Close), closing: make(chan struct{})}
	c.change.L = &c.mu
	c.held = time.AfterFunc(time.Hour, c.release)
	c.held.Stop()
	return c
}

// Read reads into p what is there, and waits only when nothing is.
func (c *Conn) Read(p []byte) (int, error) {
	c.readMu.Lock()
	defer c.readMu.Unlock()
	if len(c.unread) == 0 {
		if len(p) >= c.limits.read || len(p) == 0 {
			n, err := c.inner.Read(p)
			c.count(&c.received, n)
			return n, err
		}
		if c.buffer == nil {
			c.buffer = make([]byte, min(firstReadBuffer, c.limits.read))
		}
		n, err := c.inner.Read(c.buffer)
		c.count(&c.received, n)
		if n == 0 {
			return 0, err
		}
		// An error that came with data comes again with the next read.
		c.unread = c.buffer[:n]
		if n == len(c.buffer) && n < c.limits.read {
			c.buffer = make([]byte, c.limits.read) // there was more, or may be
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}

// Write writes p, or leaves it with the goroutine of the Conn. It waits while more
// is gathered than 256 KiB, or SetGather says.
func (c *Conn) Write(p []byte) (int, error) {
	c.count(&c.written, len(p))
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && c.writing && len(c.gathered) > 0 && len(c.gathered)+len(p) > c.limits.gather {
		c.change.Wait()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.writing:
		c.gather(p)
	case len(p) == c.limits.piece:
		if c.gathered == nil {
			c.held.Reset(holdTime)
		}
		c.gather(p)
	case time.Since(c.start)-c.lastWrite > c.limits.quiet:
		return c.writeInline(p)
	default:
		c.gather(p)
		c.startFlush()
	}
	c.lastWrite = time.Since(c.start)
	return len(p), nil
}

// Moved is how many bytes have come from the peer, and how many were given to
// Write, since the beginning.
func (c *Conn) Moved() (received, written uint64) { return c.received.Load(), c.written.Load() }

// gather keeps p to be written later.
func (c *Conn) gather(p []byte) {
	if c.gathered == nil {
		c.gathered = gatherBuffers.Get().(*gatherBuffer)[:0]
	}
	c.gathered = append(c.gathered, p...)
}

// recycle keeps the memory of what was gathered for later.
func recycle(data []byte) {
	if cap(data) >= len(gatherBuffer{}) {
		gatherBuffers.Put((*gatherBuffer)(data[:len(gatherBuffer{})]))
	}
}

// writeInline writes p from the caller, which holds mu, behind the piece that is
// held, and then has the rest written that others gathered in the meantime.
func (c *Conn) writeInline(p []byte) (int, error) {
	c.writing = true
	var err error
	if c.gathered == nil {
		err = c.writeInner(p)
	} else {
		c.gather(p)
		err = c.writeGathered()
	}
	c.lastWrite = time.Since(c.start)
	if c.gathered != nil {
		go c.flush()
	} else {
		c.writing = false
		c.change.Broadcast()
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// release writes the piece that is held, when its rest did not come.
func (c *Conn) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.writing && c.gathered != nil {
		c.startFlush()
	}
}

// startFlush has written what is gathered, while nobody else is writing.
func (c *Conn) startFlush() {
	c.writing = true
	go c.flush()
}

// flush writes what is gathered until nothing is left, for which writing was set.
// It runs in a goroutine of its own, which ends at the latest when Close returns.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.gathered != nil {
		// A failure is kept in c.err.
		_ = c.writeGathered()
	}
	c.writing = false
	c.change.Broadcast()
}

// writeGathered writes all that is gathered by one call.
func (c *Conn) writeGathered() error {
	data := c.gathered
	c.gathered = nil
	c.held.Stop()
	c.change.Broadcast()
	err := c.writeInner(data)
	recycle(data)
	return err
}

// writeInner writes p to the inner connection, for which it gives mu away, and
// makes a failure final.
func (c *Conn) writeInner(p []byte) error {
	c.inFlight = len(p)
	c.mu.Unlock()
	c.pause(len(p))
	_, err := c.inner.Write(p)
	c.mu.Lock()
	c.inFlight = 0
	if err != nil {
		c.gathered = nil
		if c.err == nil {
			c.err = err
		}
	}
	return err
}

// SetGather bounds how many bytes may wait in the Conn while a write is under way,
// at most 256 KiB and at least one write.
func (c *Conn) SetGather(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limits.gather = min(bytes, gatherLimit)
	c.change.Broadcast()
}

// SetRate makes writes to the inner connection wait so that they stay below
// bytesPerSecond, for systems whose kernel can't do that better (see
// [Socket.SetPacingRate]).
func (c *Conn) SetRate(bytesPerSecond uint64) {
	// One write to inner may be all that was gathered.
	c.limiter.Store(rate.NewLimiter(rate.Limit(bytesPerSecond), len(gatherBuffer{})))
}

// pause waits until n more bytes may be written.
func (c *Conn) pause(n int) {
	limiter := c.limiter.Load()
	if limiter == nil {
		return
	}
	delay := limiter.ReserveN(time.Now(), min(n, limiter.Burst())).Delay()
	if delay == 0 {
		return
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.closing:
	}
}

// Gathered returns how many bytes Write has taken and the kernel has not: what to
// add to [Socket.Queued] for all that is on its way.
func (c *Conn) Gathered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.gathered) + c.inFlight
}

// Close closes the connection, after what is gathered went out, for which it waits
// a tenth of a second at most. Writers and readers that wait return an error that
// is net.ErrClosed, as does a second Close.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	close(c.closing)
	if c.err == nil {
		c.err = net.ErrClosed
	}
	c.change.Broadcast()
	if !c.writing && c.gathered != nil {
		c.startFlush()
	}
	if c.writing {
		timer := time.AfterFunc(closeGrace, func() { _ = c.closeInner() })
		defer timer.Stop()
		for c.writing {
			c.change.Wait()
		}
	}
	return c.closeInner()
}

// NetConn returns the connection that the Conn was made with.
func (c *Conn) NetConn() net.Conn { return c.inner }

// LocalAddr returns the local address of the connection.
func (c *Conn) LocalAddr() net.Addr { return c.inner.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.inner.RemoteAddr() }

// SetDeadline bounds reads and writes, gathered ones included: a write that misses
// it breaks the connection for all later ones.
func (c *Conn) SetDeadline(t time.Time) error { return c.inner.SetDeadline(t) }

// SetReadDeadline bounds reads that wait for the peer.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.inner.SetReadDeadline(t) }

// SetWriteDeadline bounds writes, see SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.inner.SetWriteDeadline(t) }

// gatherBuffer is the memory for gathered bytes: the limit and one SSH packet.
type gatherBuffer [gatherLimit + 64<<10]byte

// gatherBuffers keeps buffers for reuse, so that an idle Conn holds none.
var gatherBuffers = sync.Pool{New: func() any { return new(gatherBuffer) }}
