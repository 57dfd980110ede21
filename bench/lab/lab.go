package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"funnel/bench/result"
	"funnel/internal/probe"
	"funnel/internal/wan"
)

// Run runs all scenarios. With an error, also that of ctx, the result holds what
// was measured before it. Nothing is left behind but what is in Options.Out.
func Run(ctx context.Context, o Options) (*result.Result, error) {
	r := &result.Result{Machine: result.ThisMachine(), Started: time.Now(), Rounds: o.Rounds}
	notice := o.Notice
	o.Notice = func(text string) {
		if !slices.Contains(r.LeftOut, text) {
			r.LeftOut = append(r.LeftOut, text)
			notice(text)
		}
	}
	scenarios := o.possible()
	p := &progress{tell: o.Progress}
	for _, s := range scenarios {
		p.total += o.turnTime(&s) * time.Duration(len(o.ways(&s))*o.rounds(&s))
	}
	var err error
	for _, s := range scenarios {
		if err = o.run(ctx, &s, r, p); err != nil {
			err = fmt.Errorf("scenario %s: %w", s.Name, err)
			break
		}
	}
	r.Ended = time.Now()
	return r, err
}

// possible are the scenarios that can run here.
func (o *Options) possible() []Scenario {
	unavailable := wan.Available()
	var possible []Scenario
	var missing []string
	for _, s := range o.Scenarios {
		if !s.Loopback && unavailable != nil {
			missing = append(missing, s.Name)
			continue
		}
		possible = append(possible, s)
	}
	if missing != nil {
		o.Notice(fmt.Sprintf("everything over a distance is left out (%s): %v", strings.Join(missing, ", "), unavailable))
	}
	return possible
}

// progress counts the time that turns take.
type progress struct {
	done, total time.Duration
	tell        func(done, total time.Duration, what string)
}

// run runs one scenario: everybody has a turn in every round, and who begins
// changes, so that nobody always follows the same one.
func (o *Options) run(ctx context.Context, s *Scenario, r *result.Result, p *progress) (err error) {
	ways := o.ways(s)
	if len(ways) == 0 {
		return nil
	}
	p.tell(p.done, p.total, s.Name+": start")
	stage, err := build(ctx, o, s, ways)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stage.close()) }()
	started := slices.DeleteFunc(slices.Clone(ways), func(w way) bool { return stage.running[w.system] == nil })
	p.total -= o.turnTime(s) * time.Duration((len(ways)-len(started))*o.rounds(s))
	r.Scenarios = append(r.Scenarios, o.describe(s, started))
	for round := range o.rounds(s) {
		var runs []result.Run
		for i := range started {
			w := started[(i+round)%len(started)]
			p.tell(p.done, p.total, fmt.Sprintf("%s: round %d, %s", s.Name, round+1, w.name()))
			run, err := stage.turn(ctx, w, round+1)
			if err != nil {
				return err
			}
			runs = append(runs, run)
			p.done += o.turnTime(s)
			if err := pause(ctx, o.rest()); err != nil {
				return err
			}
		}
		quiet := stage.quiet(runs, started)
		for _, run := range runs {
			run.Quiet = quiet && run.Overrun == 0
			r.Runs = append(r.Runs, run)
		}
	}
	p.tell(p.done, p.total, s.Name+": done")
	return nil
}

// quiet says whether the machine was in a round: of the direct UDP datagrams
// that arrived at all, nearly all were on time. Where there are none, nothing
// speaks against it.
func (s *stage) quiet(runs []result.Run, ways []way) bool {
	for _, w := range ways {
		if s.scenario.Kind != Play || !w.isControl(s.scenario) {
			continue
		}
		for _, run := range runs {
			if run.Way == w.name() && (run.Summary == nil || !isQuiet(*run.Summary)) {
				return false
			}
		}
	}
	return true
}

func isQuiet(s probe.Summary) bool {
	i := slices.Index(probe.Bounds[:], quietBound)
	return s.Received > 0 && s.OnTime[i]*float64(s.Sent) >= quietShare*float64(s.Received)
}

// describe is the scenario as it goes into the result.
func (o *Options) describe(s *Scenario, ways []way) result.Scenario {
	plan := o.plan(s, "udp")
	d := result.Scenario{
		Name: s.Name, What: s.What, Kind: string(s.Kind), Loopback: s.Loopback,
		PlayerLink: s.PlayerLink, HomeLink: s.HomeLink,
		Size: plan.Size, Flows: s.flows(), Seconds: plan.Duration.Seconds(), Floor: s.floor(),
	}
	if s.Kind == Play {
		d.Rate = plan.Rate
	}
	if !s.Loopback {
		d.Congestion = s.congestion()
	}
	for _, w := range ways {
		d.Order = append(d.Order, w.name())
	}
	return d
}
