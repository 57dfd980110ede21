package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"funnel/bench/result"
	"funnel/bench/system"
	"funnel/internal/probe"
)

// turn measures one way once. What goes wrong with the way is noted in the run;
// an error is the end of the whole.
func (s *stage) turn(ctx context.Context, w way, round int) (result.Run, error) {
	run := result.Run{Scenario: s.scenario.Name, Round: round, Way: w.name(), System: w.system.Name, Network: w.network}
	running := s.running[w.system]
	lost, overrun := s.links()
	relay, agent, start := running.Relay.Usage(), running.Agent.Usage(), time.Now()
	err := running.Failed()
	if err == nil {
		err = s.measure(ctx, w, running, &run)
	}
	elapsed := time.Since(start)
	run.Relay = result.CostOf(relay, running.Relay.Usage(), elapsed)
	run.Agent = result.CostOf(agent, running.Agent.Usage(), elapsed)
	lostAfter, overrunAfter := s.links()
	run.Lost, run.Overrun = lostAfter-lost, overrunAfter-overrun
	if ctx.Err() != nil {
		return run, context.Cause(ctx)
	}
	if err != nil {
		run.Error = err.Error()
		s.options.Notice(fmt.Sprintf("%s, round %d, %s: %v", s.scenario.Name, round, w.name(), err))
	}
	return run, nil
}

func (s *stage) measure(ctx context.Context, w way, running *system.Running, run *result.Run) error {
	switch s.scenario.Kind {
	case Flood:
		return s.flood(ctx, running, run)
	case Bulk:
		transfer, err := s.bulk(ctx, running, s.options.duration(s.scenario))
		run.Bulk = &transfer
		return err
	case Idle:
		return s.idle(ctx, w, running)
	default:
		return s.play(ctx, w, running, run)
	}
}

// play sends paced messages, and whatever is to be beside them.
func (s *stage) play(ctx context.Context, w way, running *system.Running, run *result.Run) (err error) {
	conns, err := s.dial(ctx, w.network, running, s.scenario.flows())
	defer closeAll(conns)
	if err != nil {
		return err
	}
	beside, err := s.startBeside(ctx, w, running)
	if err != nil {
		return err
	}
	cut := s.cutLater()
	plan := s.options.plan(s.scenario, w.network)
	var all []probe.Series
	if w.network == "udp" {
		all, err = probe.UDP(ctx, plan, conns...)
	} else {
		all = make([]probe.Series, 1)
		all[0], err = probe.TCP(ctx, plan, conns[0])
	}
	cut.restore()
	var besideErr error
	run.Bulk, besideErr = beside.finish()
	if err = errors.Join(err, besideErr); len(all) == 0 {
		return err
	}
	if cut.length > 0 {
		run.Recovery = recovery(all[0], cut.ended)
	}
	summary := probe.Summarize(s.scenario.floor(), all...)
	run.Summary = &summary
	return errors.Join(err, run.SaveSamples(s.options.Out, all))
}

// dial opens flows or a connection and waits until each has had an echo.
func (s *stage) dial(ctx context.Context, network string, running *system.Running, count int) ([]net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("nothing came back for %s", reachTime))
	defer cancel()
	address := running.TCP
	if network == "udp" {
		address = running.UDP
	}
	var conns []net.Conn
	for range count {
		conn, err := s.place.Dial(ctx, network, address)
		if err != nil {
			return conns, err
		}
		conns = append(conns, conn)
	}
	// All at once: one after the other would take 500 round trips.
	failed := make(chan error, count)
	for _, conn := range conns {
		go func() {
			var err error
			if network == "udp" {
				err = probe.ReachUDP(ctx, conn, probe.MinSize)
			} else {
				err = probe.ReachTCP(ctx, conn, probe.MinSize)
			}
			failed <- err
		}()
	}
	var errs []error
	for range conns {
		errs = append(errs, <-failed)
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) > 0 {
		return conns, fmt.Errorf("%d of %d don't answer: %w", len(errs), count, errs[0])
	}
	return conns, nil
}

func closeAll(conns []net.Conn) {
	for _, conn := range conns {
		conn.Close()
	}
}

// flood counts how much is echoed a second.
func (s *stage) flood(ctx context.Context, running *system.Running, run *result.Run) error {
	conns, err := s.dial(ctx, "udp", running, floodFlows)
	defer closeAll(conns)
	if err != nil {
		return err
	}
	var sockets []*net.UDPConn
	for _, conn := range conns {
		sockets = append(sockets, conn.(*net.UDPConn))
	}
	echoed, err := probe.Rate(ctx, s.scenario.Size, floodWindow, s.options.duration(s.scenario), sockets...)
	run.Echoed = &echoed
	return err
}

// idle keeps flows or connections open and says nothing.
func (s *stage) idle(ctx context.Context, w way, running *system.Running) error {
	conns, err := s.dial(ctx, w.network, running, s.scenario.flows())
	defer closeAll(conns)
	if err != nil {
		return err
	}
	return pause(ctx, s.options.duration(s.scenario))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
