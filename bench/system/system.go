package system

import (
	"context"
	"errors"
	"slices"
)

// ErrMissing is the error of a system that this machine doesn't have the
// programs for. It is left out, and said so.
var ErrMissing = errors.New("not installed")

// System is one way from the player to the server at home.
type System struct {
	Name string
	// What is one sentence about it.
	What string
	// UDP, TCP say what it carries.
	UDP, TCP bool
	// Variant says that it differs from another system in UDP alone.
	Variant bool

	start func(ctx context.Context, place *Place, targets *Targets, running *Running) error
}

// Running is a system that is up.
type Running struct {
	System *System
	// UDP, TCP and Bulk are where the player reaches the targets, as host:port;
	// empty if the system doesn't carry it.
	UDP, TCP, Bulk string
	// Relay and Agent are the programs on the VPS and at home; nil without.
	Relay, Agent *Process

	stop []func()
}

// Start sets the system up, or leaves nothing behind.
func (s *System) Start(ctx context.Context, place *Place, targets *Targets) (*Running, error) {
	running := &Running{System: s}
	if err := s.start(ctx, place, targets, running); err != nil {
		running.Stop()
		return nil, err
	}
	return running, nil
}

// Stop ends the programs, then everything else, the last first.
func (r *Running) Stop() {
	r.Agent.Stop()
	r.Relay.Stop()
	for _, stop := range slices.Backward(r.stop) {
		stop()
	}
	r.stop = nil
}

// Failed is an error if a program of the system has ended by itself.
func (r *Running) Failed() error {
	for _, p := range []*Process{r.Relay, r.Agent} {
		if p == nil {
			continue
		}
		select {
		case <-p.Exited():
			return p.explain(errors.New("it ended"))
		default:
		}
	}
	return nil
}
