package checkup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"funnel/internal/agent"
	"funnel/internal/probe"
)

// Options are what to measure.
type Options struct {
	// Agent is how to reach the relay, and how the funnel is set. Its forwards
	// are the checkup's own.
	Agent    agent.Config
	Profile  probe.Profile
	Duration time.Duration     // of each measurement, MinDuration to MaxDuration
	Progress func(what string) // told before each step; may be nil
}

// Run measures. What can't be measured is told in the result; an error means
// that there is none, as when the relay can't be reached or refuses the key or
// every forward (see agent.ErrAuth, agent.ErrHostKey, agent.ErrForward). When it
// returns, all it started has stopped.
func Run(ctx context.Context, options Options) (*Result, error) {
	if options.Duration < MinDuration || options.Duration > MaxDuration {
		return nil, fmt.Errorf("duration %s: must be from %s to %s", options.Duration, MinDuration, MaxDuration)
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	options.Progress("connecting to " + options.Agent.Address)
	s, err := build(ctx, options)
	if err != nil {
		return nil, err
	}
	defer s.close()
	result := &Result{
		Relay: options.Agent.Address, Address: s.test.Relay().String(), Server: s.test.Server(),
		Started: time.Now(), Profile: options.Profile.Name, Rate: options.Profile.Rate, Size: options.Profile.Size,
		Duration: options.Duration, Lanes: options.Agent.Lanes, Copies: options.Agent.Copies, BulkRate: uint64(options.Agent.BulkRate),
	}
	for _, load := range []Load{Quiet, Upload, Download, Through} {
		if !s.possible(load) {
			continue
		}
		options.Progress(fmt.Sprintf("measuring for %s %s", options.Duration, load.title()))
		condition, err := s.measure(ctx, load)
		if err != nil {
			return nil, err
		}
		if condition != nil {
			condition.compare()
			result.Conditions = append(result.Conditions, *condition)
		}
	}
	result.Kernel, result.Notes = s.kernel, s.notes
	result.Verdict = Judge(result.findings(s.noUDP))
	return result, nil
}

// measure measures all ways beside a load. Nil is a load that there wasn't.
func (s *stage) measure(ctx context.Context, load Load) (*Condition, error) {
	condition := &Condition{Load: load}
	if err := s.renewPorts(ctx); err != nil {
		return nil, err
	}
	legs := s.open(ctx)
	defer func() {
		for _, leg := range legs {
			leg.close()
		}
	}()
	transfer, err := s.startLoad(ctx, load)
	if err == nil {
		s.run(ctx, legs)
		condition.Bulk, err = transfer.end()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if load == Upload || load == Download { // another measurement follows
		s.pause(ctx, rest)
	}
	if err != nil {
		s.note("%s %v", strings.TrimPrefix(load.title(), "beside "), err)
		if condition.Bulk == 0 {
			return nil, nil
		}
	}
	for _, leg := range legs {
		if load == Quiet || !s.broken[leg.measured.Way] {
			condition.Ways = append(condition.Ways, leg.measured)
		}
		if load == Quiet && leg.measured.Summary == nil {
			s.broken[leg.measured.Way] = true
		}
		if load == Quiet && leg.measured.Way == PlainTCP && leg.kernel != nil {
			s.kernel = leg.kernel
		}
	}
	return condition, nil
}

// pause waits, or until ctx ends.
func (s *stage) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// possible says whether there is anything to measure beside a load.
func (s *stage) possible(load Load) bool {
	switch load {
	case Upload, Download:
		return !s.broken[PlainTCP]
	case Through:
		return !s.broken[FunnelTCP]
	}
	return true
}

// renewPorts asks for a new pair of test ports, as the relay closes them soon.
// That there are none is a note.
func (s *stage) renewPorts(ctx context.Context) error {
	if s.refused {
		return nil
	}
	ports, err := s.test.Ports(ctx)
	if refusal, ok := errors.AsType[*agent.RefusedTest](err); ok {
		s.refused = true
		s.note("%v", refusal)
		return nil
	}
	if err != nil {
		return fmt.Errorf("the connection to the relay broke off before all was measured: %w", err)
	}
	if ports.Note != "" && s.ports.Note != ports.Note {
		s.note("the relay gives only one test port: %s", ports.Note)
	}
	s.ports = ports
	s.public[PlainTCP], s.public[PlainUDP] = "", ""
	if ports.TCP.IsValid() {
		s.public[PlainTCP] = ports.TCP.String()
	}
	if ports.UDP.IsValid() {
		s.public[PlainUDP] = ports.UDP.String()
	}
	return nil
}

func (s *stage) note(format string, values ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, values...))
}
