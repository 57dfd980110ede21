// Package pipe joins two byte streams, such as a TCP connection and an SSH
// channel, so that they look like one connection to those at their far ends.
package pipe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// Half is one of two joined streams: a *net.TCPConn, an ssh.Channel. Optional
// methods tell more about it:
//
//   - SetLinger(int) error, as a TCP connection has, resets it when it is
//     closed after SetLinger(0);
//   - Closed() <-chan struct{}, as sshwire.Channel has, is closed when the peer
//     has closed both directions. Without it, a peer that is gone altogether
//     looks like one that has only stopped sending;
//   - EndsWithClose() bool, likewise, says that a peer which closes both
//     directions at once may have said all that it had to say.
type Half interface {
	io.ReadWriteCloser
	// CloseWrite ends our sending; the other direction goes on.
	CloseWrite() error
}

// Stats are how many bytes were copied each way. They may have been lost on
// the way from there if the end wasn't a clean one.
type Stats struct {
	AToB, BToA int64
}

// ErrHungUp is how a pipe ends when a peer closes both directions before it was
// told that nothing more would come: it gave up rather than finished.
var ErrHungUp = errors.New("the peer hung up")

// errClosed is ErrHungUp of a peer that may have finished nevertheless.
var errClosed = fmt.Errorf("%w at its end", ErrHungUp)

// Join copies from a to b and from b to a until both directions have ended, and
// closes both, which it owns. The end of one direction is passed on by
// CloseWrite and leaves the other alone, for as long as it likes. An error of
// either half, and the end of ctx, resets both at once, so that no peer takes
// half of a message for the whole. A half whose EndsWithClose says so isn't in
// error when it closes: the other is closed after it, with all that came before.
//
// A half that isn't read fast enough makes the other wait: at most one buffer
// of each direction is in memory. The error is nil if both directions ended
// cleanly. Join returns when nothing it started is left; with SSH channels that
// may take until the peer answers the close or its connection ends.
func Join(ctx context.Context, a, b Half) (Stats, error) {
	aToB := &direction{from: a, to: b}
	bToA := &direction{from: b, to: a}
	aToB.opposite, bToA.opposite = bToA, aToB
	ended := make(chan error, 2)
	var tasks sync.WaitGroup
	tasks.Go(func() { ended <- aToB.run(ctx) })
	tasks.Go(func() { ended <- bToA.run(ctx) })

	err := wait(ctx, ended, aToB, bToA)
	// Each by itself: closing may block where the connection below is stuck.
	for _, half := range []Half{a, b} {
		tasks.Go(func() { closeHalf(half, err != nil && err != errClosed) })
	}
	tasks.Wait()
	return Stats{AToB: aToB.copied, BToA: bToA.copied}, err
}

// wait returns when both directions have ended, or with the first reason to
// end them.
func wait(ctx context.Context, ended <-chan error, aToB, bToA *direction) error {
	goneA, goneB := closedOf(aToB.from), closedOf(bToA.from)
	for left := 2; left > 0; {
		select {
		case err := <-ended:
			if err != nil {
				return err
			}
			left--
		case <-goneA:
			goneA = nil
		case <-goneB:
			goneB = nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if left > 0 && (aToB.hungUp() || bToA.hungUp()) {
			return ErrHungUp
		}
	}
	return nil
}

// direction copies one way.
type direction struct {
	from, to Half
	opposite *direction
	copied   int64 // owned by run
	done     atomic.Bool
}

// run copies until the end of from, which it passes on if it is one: the end of
// an SSH connection is the end of its channels, too.
func (d *direction) run(ctx context.Context) error {
	var err error
	d.copied, err = copyBytes(d.to, d.from)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if isClosed(closedOf(d.from)) && !d.opposite.done.Load() {
		if ender, ok := d.from.(interface{ EndsWithClose() bool }); ok && ender.EndsWithClose() {
			return errClosed
		}
		return ErrHungUp
	}
	// From here on, the peer of to may close as soon as it likes.
	d.done.Store(true)
	// A half that can't be told is gone, and the opposite direction says so.
	_ = d.to.CloseWrite()
	return nil
}

// hungUp says whether nothing comes from here any more, nor can anything be
// sent there, though there may be something to send. As long as from is read,
// run itself will notice.
func (d *direction) hungUp() bool {
	return d.done.Load() && isClosed(closedOf(d.from)) && !d.opposite.done.Load()
}

// closeHalf closes half, with a reset if it knows what that is.
func closeHalf(half Half, reset bool) {
	if reset {
		if tcp, ok := half.(interface{ SetLinger(seconds int) error }); ok {
			_ = tcp.SetLinger(0) // fails only if it is closed already
		}
	}
	_ = half.Close()
}

// closedOf is nil for a half that doesn't tell.
func closedOf(half Half) <-chan struct{} {
	if teller, ok := half.(interface{ Closed() <-chan struct{} }); ok {
		return teller.Closed()
	}
	return nil
}

func isClosed(closed <-chan struct{}) bool {
	select {
	case <-closed:
		return true
	default:
		return false
	}
}
