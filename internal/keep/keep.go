// Package keep keeps a connection up: it is dialled again when it ends, and beside
// the present one while there is doubt whether that is alive, so that whichever
// works first carries on.
package keep

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Line is a connection that is kept up.
type Line interface {
	// Doubt says whether the line may be dead. Changed is closed when that
	// changes.
	Doubt() (doubt bool, changed <-chan struct{})
	// Close ends the line, and Serve with it. It may be called twice.
	Close() error
}

// Config is what a keeper needs to know.
type Config[L Line] struct {
	// Dial makes a line, and calls reached once the other end is known to be there,
	// or not at all. Until then it is Dial's own affair to try again; after that it
	// may be called while another call is under way, if Hedge allows that.
	Dial func(ctx context.Context, reached func()) (L, error)
	// Serve uses a line until it ends, and says why it did. It is called for one
	// line at a time.
	Serve func(ctx context.Context, line L) error

	Permanent func(error) bool // to dial again can't mend it
	Unreached func(error) bool // it kept a dial from reaching the other end
	Unwanted  func(error) bool // it ended a line that the other end didn't want; may be nil if none does
	Hedge     func() bool      // a dial that takes long may be tried beside itself

	// Kick, whose channel is closed for it and made anew, ends every wait, and has
	// a dial under way be tried beside itself: the network has changed.
	Kick func() <-chan struct{}

	// Movable says whether all that a line carries goes on over another one; may be
	// nil if it never does. Then another is taken also when the line is alive again
	// after a long time: what it has lost meanwhile it makes up for slowly.
	Movable func(L) bool

	// Lost is told why there is no line, and how long it is until the next try;
	// may be nil.
	Lost func(err error, retry time.Duration)
	Log  *slog.Logger
}

// Run keeps a line up until ctx ends, whose error it returns then, or until
// something happens that is permanent. When it returns there is no line, and
// everything that it started has stopped.
func Run[L Line](ctx context.Context, config Config[L]) error {
	k := &keeper[L]{Config: config, waits: newWaits(config.Unreached, config.Unwanted)}
	var next *L
	for {
		if next == nil {
			line, err := k.dial(ctx)
			if err != nil {
				return err
			}
			next = &line
		}
		var err error
		begun := time.Now()
		next, err = k.serve(ctx, *next)
		k.waits.lived(time.Since(begun))
		switch {
		case ctx.Err() != nil:
			if next != nil {
				_ = (*next).Close()
			}
			return context.Cause(ctx)
		case next != nil:
			continue
		case k.Permanent(err):
			return err
		}
		if err := k.pause(ctx, k.Kick(), err, k.waits.ended(err)); err != nil {
			return err
		}
	}
}

type keeper[L Line] struct {
	Config[L]
	waits *waits
}

// dialled is what has become of a dial.
type dialled[L Line] struct {
	line L
	err  error
}

// errSettled ends a dial that isn't needed any more.
var errSettled = errors.New("the line before works")

// serve has a line served until it ends, and dials another when there is doubt
// about it. It returns the other line if that was there first.
func (k *keeper[L]) serve(ctx context.Context, line L) (next *L, err error) {
	served := make(chan error, 1)
	go func() { served <- k.Serve(ctx, line) }()
	var spare chan dialled[L]    // a dial is under way
	settle := func(error) {}     // ends it
	var since time.Time          // it was begun
	var awaited <-chan time.Time // it may still be of use for so long, though the line is alive
	ended := false
	for {
		doubt, changed := line.Doubt()
		switch {
		case doubt && spare == nil && !ended && ctx.Err() == nil:
			since = time.Now()
			k.Log.Info("no sign of life from the relay: dialling beside the link")
			spare = make(chan dialled[L], 1)
			spareCtx, cancel := context.WithCancelCause(ctx)
			settle = cancel
			go func(spare chan<- dialled[L]) {
				line, err := k.dial(spareCtx)
				spare <- dialled[L]{line, err}
			}(spare)
		case doubt:
			awaited = nil
		case spare != nil && !ended && awaited == nil:
			if time.Since(since) < longDoubt || k.Movable == nil || !k.Movable(line) {
				settle(errSettled)
				break
			}
			awaited = time.After(spareWait)
		}
		select {
		case <-changed:
		case <-awaited:
			settle(errSettled)
		case err = <-served:
			ended = true
			served = nil
			if spare != nil && k.Permanent(err) {
				settle(errSettled)
				if got := <-spare; got.err == nil {
					_ = got.line.Close()
				}
				return nil, err
			}
			if spare == nil {
				return nil, err
			}
		case got := <-spare:
			settle(nil)
			spare = nil
			doubt, _ := line.Doubt()
			wanted := doubt || ended || awaited != nil
			awaited = nil
			switch {
			case got.err == nil && !wanted: // it came too late
				_ = got.line.Close()
			case got.err == nil:
				_ = line.Close()
				if !ended {
					err = <-served
				}
				return &got.line, err
			case k.Permanent(got.err):
				_ = line.Close()
				if !ended {
					<-served
				}
				return nil, got.err
			case ended:
				return nil, err
			}
		}
	}
}

// dial dials until there is a line, ctx ends or an error is permanent.
func (k *keeper[L]) dial(ctx context.Context) (L, error) {
	var none L
	for {
		kicked := k.Kick() // what changes during the dial counts, too
		line, err := k.hedge(ctx, kicked)
		switch {
		case err == nil:
			return line, nil
		case ctx.Err() != nil:
			return none, context.Cause(ctx)
		case k.Permanent(err):
			return none, err
		}
		if err := k.pause(ctx, kicked, err, k.waits.failed(err)); err != nil {
			return none, err
		}
	}
}

// pause waits until it is time for the next dial, after an end or a dial that err
// ended, or until it is kicked.
func (k *keeper[L]) pause(ctx context.Context, kicked <-chan struct{}, err error, pause time.Duration) error {
	if k.Lost != nil {
		k.Lost(err, pause)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-kicked:
	case <-timer.C:
	}
	return nil
}
