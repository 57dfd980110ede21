package lab

import (
	"time"

	"funnel/bench/system"
	"funnel/internal/probe"
)

// Options of a run.
type Options struct {
	Scenarios []Scenario
	Systems   []*system.System
	// Described are the names of those in Systems that the user described.
	Described []string
	Profile   probe.Profile // what a scenario doesn't set
	Rounds    int
	Duration  time.Duration // of a turn; a scenario may want more
	// Quick makes everything as short as it can be: a test of the laboratory.
	Quick bool
	// Out is the directory of raw samples and logs.
	Out string
	// Progress is told before each turn how far the run is.
	Progress func(done, total time.Duration, what string)
	// Notice is told what is left out and why.
	Notice func(string)
}

func (o *Options) warm() time.Duration {
	if o.Quick {
		return quickWarm
	}
	return warm
}

func (o *Options) rest() time.Duration {
	if o.Quick {
		return quickRest
	}
	return rest
}

// duration is of one turn of the scenario.
func (o *Options) duration(s *Scenario) time.Duration {
	if o.Quick {
		return quickDuration
	}
	return max(o.Duration, s.Least)
}

// cut is how long the link is down.
func (o *Options) cut(s *Scenario) time.Duration {
	if o.Quick {
		return min(s.Cut, quickDuration/2)
	}
	return s.Cut
}

func (o *Options) rounds(s *Scenario) int {
	if s.Most > 0 {
		return min(o.Rounds, s.Most)
	}
	return o.Rounds
}

// plan is what one flow of the scenario sends.
func (o *Options) plan(s *Scenario, network string) probe.Plan {
	p := probe.Plan{Rate: o.Profile.Rate, Size: o.Profile.Size, Duration: o.duration(s), Grace: graceUDP}
	if s.Rate > 0 {
		p.Rate = s.Rate
	}
	if s.Size > 0 {
		p.Size = s.Size
	}
	switch {
	case s.Cut > 0:
		p.Grace = graceCut
	case network == "tcp":
		p.Grace = graceTCP
	}
	return p
}

// turnTime is about how long a turn takes, for the progress bar.
func (o *Options) turnTime(s *Scenario) time.Duration {
	t := o.duration(s) + o.rest()
	if s.Kind == Play && s.Flows == 0 && !o.Quick {
		t += graceUDP / 2 // where something is lost
	}
	if s.Beside != 0 && s.Kind == Play {
		t += o.warm()
	}
	return t
}
