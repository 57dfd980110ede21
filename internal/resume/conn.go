package resume

import (
	"context"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// Local is the TCP connection at this end. Close must end a Read and a Write
// that are under way. A method SetLinger(int) error, as a *net.TCPConn has,
// makes a Close after SetLinger(0) reset it.
type Local interface {
	io.ReadWriteCloser
	// CloseWrite ends our sending; the other direction goes on.
	CloseWrite() error
}

// Options are the limits of a Conn.
type Options struct {
	// Patience is how long the conn may be without a channel once it had one;
	// DefaultPatience if it is 0.
	Patience time.Duration

	// Buffer is how many bytes are kept that the other end has not acknowledged,
	// give or take 32 KiB; then local isn't read. Their memory may be twice as
	// much. DefaultBuffer if it is 0; less than that may slow the conn down.
	Buffer int

	// Spare lets a direction have more on the way than the window of a channel,
	// as long as it is held back by that alone, and then as much more is kept.
	// The conns of a program share one. None of it if it is nil.
	Spare *Spare

	windows windows // those of params.go, or others in tests
}

// Stats are how many bytes were taken from local and from the other end, how many
// channels there were, and how often a direction went beyond the window of one.
// The bytes may have been lost on the way from there if the end wasn't a clean
// one.
type Stats struct {
	FromLocal, ToLocal int64
	Channels, Windows  int
}

// Conn is one end of a forwarded TCP connection that outlives the SSH channels
// that carry it. All methods may be called at any time by any goroutine.
type Conn struct {
	local   Local
	options Options

	mu       sync.Mutex
	room     sync.Cond // there is room to keep more, or state changed
	attached sync.Cond // there is a channel, local has what was taken, or state changed; one waits at most

	// Guarded by mu.
	state    state
	err      error       // why the conn ended; meaningless while it runs
	at       *attachment // the present channel; nil if there is none
	channels int
	windows  int // how often data requests have begun
	out      outgoing
	in       incoming
	orphaned bool  // the other end has finished and forgotten the conn
	lazy     timer // acknowledges what isn't due
	away     timer // gives up to wait for a channel

	tasks sync.WaitGroup // added to while state isn't over, or by one of them
	done  chan struct{}  // closed when state is over
}

// state is how far a conn has come.
type state int

const (
	running state = iota
	// telling is a conn that has been reset while there was no channel: the next
	// one is used to say so.
	telling
	over
)

// New returns a Conn over local, which it owns from now on. Run must be called.
func New(local Local, options Options) *Conn {
	if options.Patience <= 0 {
		options.Patience = DefaultPatience
	}
	if options.Buffer <= 0 {
		options.Buffer = DefaultBuffer
	}
	if options.windows == (windows{}) {
		options.windows = windows{channelWindow, wideWindow, channelWindow / keepsUp, heldBack}
	}
	c := &Conn{local: local, options: options, done: make(chan struct{})}
	c.room.L, c.attached.L = &c.mu, &c.mu
	c.lazy = timer{mu: &c.mu, group: &c.tasks, run: c.acknowledge}
	c.away = timer{mu: &c.mu, group: &c.tasks, run: c.giveUp}
	return c
}

// Run carries bytes until both directions have ended and both ends know it, and
// closes local. Everything else resets local, so that no peer takes half of a
// message for the whole: a reset of local or by the other end, the end of ctx, a
// wait for a channel that takes longer than Options.Patience, an other end that
// doesn't know the conn any more or breaks the protocol. The error is nil only
// after a clean end.
//
// Run returns when nothing is left of the conn. That may take until the other
// end has answered the close of each channel, or until the connections below are
// closed: see Done.
func (c *Conn) Run(ctx context.Context) (Stats, error) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.interrupt(context.Cause(ctx))
	})
	c.tasks.Go(c.receive)
	c.send()
	<-c.done
	if !stop() {
		<-interrupted
	}
	c.tasks.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out.kept.filled()
	c.out.kept.release(c.out.read)
	return Stats{FromLocal: int64(c.out.read), ToLocal: int64(c.in.received), Channels: c.channels, Windows: c.windows}, c.err // #nosec G115 -- counts bytes of one connection
}

// Done is closed when the conn has ended: a new channel for it would make no
// sense. A conn that is reset while it has no channel ends when it could say so,
// or when its patience does.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Open begins to use the first channel of a conn that neither end has sent
// anything of. The channel is the conn's from now on. What it returns is closed
// when the channel is used no more and the peer has closed it, or its connection
// has ended; until then it takes memory. A second Open closes its channel.
func (c *Conn) Open(channel ssh.Channel, requests <-chan *ssh.Request) (released <-chan struct{}) {
	return c.attach(channel, requests, func(a *attachment) bool {
		a.known = true
		return c.channels == 0
	})
}

// Detach ends the use of the present channel, if there is one, and returns the
// position of what was received, as a Resumable tells it to the other end. The
// position is final until Resume is called with it.
func (c *Conn) Detach() (received uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at != nil {
		c.lose(c.at)
	}
	return c.in.position()
}

// Resume begins to use a channel in whose Resumable the other end was told what
// Detach had returned. It sends nothing until the other end has said, by an ack,
// what it has received. A channel that comes too late, after another one has been
// resumed, is closed. About the result see Open.
func (c *Conn) Resume(channel ssh.Channel, requests <-chan *ssh.Request, received uint64) (released <-chan struct{}) {
	return c.attach(channel, requests, func(*attachment) bool {
		return c.at == nil && c.in.position() == received
	})
}

// Answer begins to use a channel that the other end has opened to resume the
// conn, instead of the present one if there is one, and says on it what was
// received. peerHas is what the other end has received, from its Resumable. A
// channel from the past, with less than the other end has acknowledged since, is
// closed. About the result see Open. Answer may block for as long as nothing can
// be sent over the channel's connection.
func (c *Conn) Answer(channel ssh.Channel, requests <-chan *ssh.Request, peerHas uint64) (released <-chan struct{}) {
	released = c.attach(channel, requests, func(a *attachment) bool {
		if peerHas < c.out.acked {
			return false
		}
		if c.at != nil {
			c.lose(c.at)
		}
		a.known, a.owes, a.sent = true, true, peerHas
		return true
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acknowledge()
	return released
}

// Gone says that the other end doesn't know the conn any more. If the end of
// both directions was said, it has finished; otherwise the conn is reset. A conn
// that has a channel knows better.
func (c *Conn) Gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at == nil {
		c.abandon(ErrGone)
	}
}
