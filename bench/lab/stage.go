package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"funnel/bench/system"
	"funnel/internal/wan"
)

// stage is the path of one scenario, and the systems that are up on it.
type stage struct {
	options  *Options
	scenario *Scenario
	dir      string     // removed at the end
	three    *wan.Three // nil on loopback
	place    *system.Place
	targets  *system.Targets
	running  map[*system.System]*system.Running
}

// build makes the path and starts the systems of the ways. Those that aren't
// installed are left out with a notice.
func build(ctx context.Context, o *Options, s *Scenario, ways []way) (*stage, error) {
	stage := &stage{options: o, scenario: s, running: make(map[*system.System]*system.Running)}
	err := stage.build(ctx, ways)
	if err != nil {
		return nil, errors.Join(err, stage.close())
	}
	return stage, nil
}

func (s *stage) build(ctx context.Context, ways []way) (err error) {
	if s.dir, err = os.MkdirTemp("", "funnel-bench-"); err != nil {
		return err
	}
	// sshd's children drop their rights before they read what is below.
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return err
	}
	logs := filepath.Join(s.options.Out, "logs", s.scenario.Name)
	if s.scenario.Loopback {
		s.place = system.Loopback(s.dir, logs)
	} else if err := s.buildLinks(logs); err != nil {
		return fmt.Errorf("build the links: %w", err)
	}
	if s.targets, err = system.StartTargets(s.place.Home); err != nil {
		return fmt.Errorf("start the servers at home: %w", err)
	}
	for _, way := range ways {
		if s.running[way.system] != nil {
			continue
		}
		running, err := way.system.Start(ctx, s.place, s.targets)
		if err != nil && ctx.Err() == nil {
			// One that doesn't start is no reason to give up the others.
			s.options.Notice(fmt.Sprintf("%s is left out of %s: %v", way.system.Name, s.scenario.Name, err))
			continue
		}
		if err != nil {
			return err
		}
		s.running[way.system] = running
	}
	return s.setLinks()
}

// buildLinks makes three hosts. The links have their delays and no faults until
// everything is up.
func (s *stage) buildLinks(logs string) (err error) {
	if s.three, err = wan.NewThree(wan.Options{Seed: seed}); err != nil {
		return err
	}
	for _, host := range []*wan.Host{s.three.Player, s.three.VPS, s.three.Home} {
		if err := host.Sysctl("net.ipv4.tcp_congestion_control", s.scenario.congestion()); err != nil {
			return err
		}
	}
	if err := s.three.PlayerLink.SetBoth(wan.Conditions{Delay: s.scenario.PlayerLink.Delay}); err != nil {
		return err
	}
	if err := s.three.HomeLink.SetBoth(wan.Conditions{Delay: s.scenario.HomeLink.Delay}); err != nil {
		return err
	}
	s.place = &system.Place{
		Player: s.three.Player, VPS: s.three.VPS, Home: s.three.Home,
		Public: s.three.PlayerLink.Addr(s.three.VPS),
		Relay:  s.three.HomeLink.Addr(s.three.VPS),
		Direct: s.three.HomeLink.Addr(s.three.Home),
		Dir:    s.dir, Logs: logs,
	}
	return nil
}

// setLinks makes the links what the scenario says.
func (s *stage) setLinks() error {
	if s.three == nil {
		return nil
	}
	if err := s.three.PlayerLink.SetBoth(s.scenario.PlayerLink); err != nil {
		return err
	}
	return s.three.HomeLink.SetBoth(s.scenario.HomeLink)
}

// links is what the links have lost, and what the emulator couldn't take.
func (s *stage) links() (lost, overrun uint64) {
	if s.three == nil {
		return 0, 0
	}
	for _, link := range []*wan.Link{s.three.PlayerLink, s.three.HomeLink} {
		stats := link.Stats()
		lost += stats.AToB.Lost() + stats.BToA.Lost()
		overrun += stats.AToB.Overrun + stats.BToA.Overrun
	}
	return lost, overrun
}

// close stops and removes everything.
func (s *stage) close() error {
	for _, running := range s.running {
		running.Stop()
	}
	var errs []error
	if s.targets != nil {
		errs = append(errs, s.targets.Close())
	}
	if s.three != nil {
		errs = append(errs, s.three.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
