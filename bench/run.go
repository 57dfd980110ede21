package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"funnel/bench/lab"
	"funnel/bench/report"
	"funnel/bench/system"
	"funnel/internal/probe"
)

// runCommand is the flags of run.
type runCommand struct {
	Scenario []string      `placeholder:"NAME" help:"Run only these, as names or patterns like loss-*. Repeatable or separated by commas."`
	Systems  []string      `placeholder:"NAME" help:"Compare only these, as names or patterns like funnel*. Direct traffic is always measured: it tells whether the machine was quiet."`
	Rounds   int           `default:"${rounds}" help:"How often each has its turn (default ${rounds})."`
	Duration time.Duration `default:"${duration}" help:"How long a turn is (default ${duration})."`
	Profile  string        `default:"${profile}" help:"Rate and size of messages where the scenario leaves them open (default ${profile})."`
	Tunnel   []string      `sep:"none" placeholder:"FILE" help:"Compare the tunnel described in this file too. Repeatable; see bench/README.md."`
	Variant  []string      `sep:"none" placeholder:"NAME=FLAGS" help:"Compare funnel with these flags of the agent too, as in copies-3='--copies 3 --lanes 4'. Repeatable."`
	Out      string        `placeholder:"DIR" help:"Where the result goes. Default: bench-results/ and the time."`
	Quick    bool          `help:"One short round of the most important scenarios, to see that all works. The figures mean nothing."`
	Keep     bool          `help:"When interrupted, keep what was measured and report it."`
	Relay    string        `default:"bin/funnel-relay" placeholder:"FILE" help:"The relay's program (default bin/funnel-relay)."`
	Agent    string        `default:"bin/funnel-agent" placeholder:"FILE" help:"The agent's program (default bin/funnel-agent)."`
}

// Run runs the laboratory.
func (c *runCommand) Run(ctx context.Context) error {
	options, err := c.options()
	if err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = filepath.Join("bench-results", time.Now().Format("2006-01-02-150405"))
	}
	if err := os.MkdirAll(filepath.Dir(c.Out), 0o755); err != nil {
		return err
	}
	// Only a new directory can be removed when the run is interrupted.
	if err := os.Mkdir(c.Out, 0o755); err != nil {
		return fmt.Errorf("--out: %w; name a directory that doesn't exist yet", err)
	}
	options.Out = c.Out
	bar := newBar(os.Stderr)
	options.Progress, options.Notice = bar.show, bar.notice
	r, err := lab.Run(ctx, *options)
	bar.close()
	r.Command = os.Args[1:]
	if err != nil && (!c.Keep || len(r.Runs) == 0) {
		return errors.Join(err, os.RemoveAll(c.Out))
	}
	if saveErr := r.Save(c.Out); saveErr != nil {
		return errors.Join(err, saveErr)
	}
	return errors.Join(err, writeReport(c.Out, os.Stdout))
}

func (c *runCommand) options() (*lab.Options, error) {
	profile, err := probe.FindProfile(c.Profile)
	if err != nil {
		return nil, fmt.Errorf("--profile: %w", err)
	}
	if c.Rounds < 1 || c.Duration < 100*time.Millisecond {
		return nil, fmt.Errorf("--rounds %d, --duration %s: want at least one round of 100ms", c.Rounds, c.Duration)
	}
	o := &lab.Options{Profile: profile, Rounds: c.Rounds, Duration: c.Duration, Quick: c.Quick}
	if o.Scenarios, err = lab.Find(c.Scenario); err != nil {
		return nil, fmt.Errorf("--scenario: %w", err)
	}
	for _, program := range []string{c.Relay, c.Agent} {
		if _, err := os.Stat(program); err != nil {
			return nil, fmt.Errorf("%w; build it with: make build", err)
		}
	}
	programs := system.Programs{Relay: absolute(c.Relay), Agent: absolute(c.Agent)}
	if o.Systems, err = lab.Choose(systems(programs), c.Systems); err != nil {
		return nil, fmt.Errorf("--systems: %w", err)
	}
	if err := c.addNamed(o, programs); err != nil {
		return nil, err
	}
	if c.Quick {
		o.Rounds = 1
		if len(c.Scenario) == 0 {
			o.Scenarios = lab.Quick()
		}
	}
	return o, nil
}

// addNamed adds what is named on the command line and takes part in any case. A
// result knows systems by their names, so that two of one would be taken for one.
func (c *runCommand) addNamed(o *lab.Options, programs system.Programs) error {
	taken := make(map[string]bool)
	for _, s := range systems(programs) {
		taken[s.Name] = true
	}
	add := func(s *system.System) error {
		if taken[s.Name] {
			return fmt.Errorf("there is a system %q already; give it another name", s.Name)
		}
		taken[s.Name] = true
		o.Systems = append(o.Systems, s)
		return nil
	}
	for _, text := range c.Variant {
		variant, err := parseVariant(text, programs)
		if err == nil {
			err = add(variant)
		}
		if err != nil {
			return fmt.Errorf("--variant %q: %w", text, err)
		}
	}
	for _, path := range c.Tunnel {
		d, err := system.ReadDescription(path)
		if err == nil {
			err = add(d.System())
		}
		if err != nil {
			return fmt.Errorf("--tunnel: %w", err)
		}
		o.Described = append(o.Described, d.Name)
	}
	return nil
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// systems are all that are known without a description.
func systems(programs system.Programs) []*system.System {
	variant := func(s *system.System) *system.System {
		s.Variant = true
		return s
	}
	return []*system.System{
		system.Direct(),
		system.Forwarder(),
		system.OpenSSH("ssh", "ssh -N -R of the installed OpenSSH", ""),
		system.OpenSSH("ssh-aes128-gcm", "the same with -c aes128-gcm@openssh.com", "aes128-gcm@openssh.com"),
		system.Funnel("funnel", "funnel as it comes: --lanes 4 --copies auto", programs, "auto"),
		variant(system.Funnel("funnel-copies-1", "funnel that sends each datagram once: --copies 1", programs, "1")),
		variant(system.Funnel("funnel-lanes-1", "funnel with one SSH connection for UDP: --lanes 1", programs, "auto", "--lanes", "1")),
	}
}

// parseVariant reads NAME=FLAGS. --copies is the relay's flag too.
func parseVariant(text string, programs system.Programs) (*system.System, error) {
	name, flags, found := strings.Cut(text, "=")
	if !found || name == "" {
		return nil, errors.New("want NAME=FLAGS, as in copies-3='--copies 3'")
	}
	copies := "auto"
	var args []string
	for words := strings.Fields(flags); len(words) > 0; words = words[1:] {
		switch {
		case words[0] == "--copies" && len(words) > 1:
			copies, words = words[1], words[1:]
		case strings.HasPrefix(words[0], "--copies="):
			copies = strings.TrimPrefix(words[0], "--copies=")
		default:
			args = append(args, words[0])
		}
	}
	s := system.Funnel("funnel-"+name, "funnel with "+flags, programs, copies, args...)
	s.Variant = true
	return s, nil
}

// writeReport writes a result's page and plots beside it, and its table to w.
func writeReport(dir string, w *os.File) error {
	r, err := report.New(dir)
	if err != nil {
		return err
	}
	if err := r.WriteTable(w); err != nil {
		return err
	}
	if err := r.WritePlots(); err != nil {
		return err
	}
	path := filepath.Join(dir, "report.html")
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = r.WriteHTML(f)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	fmt.Fprintf(w, "\n%s shows it with plots, which are in %s too\n", path, filepath.Join(dir, "plots"))
	return err
}
