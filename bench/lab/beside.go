package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"funnel/bench/system"
	"funnel/internal/probe"
)

// beside is what goes on while somebody plays: a bulk transfer, a greedy flow,
// or nothing.
type beside struct {
	stop     context.CancelFunc
	running  sync.WaitGroup
	transfer *probe.Transfer
	errs     [2]error // of the transfer and of the flow
}

// startBeside starts it, and returns when the transfer has filled the path.
func (s *stage) startBeside(ctx context.Context, w way, running *system.Running) (*beside, error) {
	ctx, stop := context.WithCancel(ctx)
	b := &beside{stop: stop}
	if s.scenario.Greedy > 0 {
		if err := s.greedy(ctx, running, b); err != nil {
			stop()
			return nil, err
		}
	}
	if s.scenario.Beside == 0 || w.control {
		return b, nil
	}
	ended := make(chan struct{})
	b.running.Go(func() {
		defer close(ended)
		// The turn ends it.
		transfer, err := s.bulk(ctx, running, time.Hour)
		b.transfer, b.errs[0] = &transfer, err
	})
	select {
	case <-time.After(s.options.warm()):
		return b, nil
	case <-ended:
		_, err := b.finish()
		return nil, fmt.Errorf("the bulk transfer beside ended: %w", errors.Join(err, context.Cause(ctx)))
	}
}

// finish ends it all and says what was transferred, nil if nothing was to be.
func (b *beside) finish() (*probe.Transfer, error) {
	b.stop()
	b.running.Wait()
	return b.transfer, errors.Join(b.errs[:]...)
}

// greedy starts the flow that takes what it can get, until ctx ends.
func (s *stage) greedy(ctx context.Context, running *system.Running, b *beside) error {
	conns, err := s.dial(ctx, "udp", running, 1)
	if err != nil {
		closeAll(conns)
		return err
	}
	plan := s.options.plan(s.scenario, "udp")
	plan.Rate, plan.Grace = s.scenario.Greedy, 0
	b.running.Go(func() {
		defer closeAll(conns)
		if _, err := probe.UDP(ctx, plan, conns...); ctx.Err() == nil {
			b.errs[1] = err
		}
	})
	return nil
}

// bulk moves what it can for the duration or until ctx ends, which is no error.
func (s *stage) bulk(ctx context.Context, running *system.Running, duration time.Duration) (probe.Transfer, error) {
	warm := s.options.warm()
	dialing, cancelDial := context.WithTimeout(ctx, reachTime)
	defer cancelDial()
	address := running.Bulk
	if address == "" {
		// What carries no TCP has the transfer beside it all the same.
		address = net.JoinHostPort(s.place.Direct.String(), fmt.Sprint(s.targets.Bulk.Port()))
	}
	conn, err := s.place.Dial(dialing, "tcp", address)
	if err != nil {
		return probe.Transfer{}, err
	}
	defer conn.Close()
	_ = conn.(*net.TCPConn).SetLinger(0) // what is under way is of no use any more
	ctx, cancel := context.WithTimeout(ctx, duration+warm)
	defer cancel()
	return probe.Bulk(ctx, conn, s.scenario.Beside, warm)
}
