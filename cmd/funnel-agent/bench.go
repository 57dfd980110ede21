package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"funnel/internal/agent"
	"funnel/internal/checkup"
	"funnel/internal/instance"
	"funnel/internal/probe"
)

// benchCommand is the flags of bench.
type benchCommand struct {
	relayArgument

	Profile  string        `name:"profile" default:"${benchProfile}" placeholder:"${benchProfile}" group:"What to measure" help:"Traffic of a player: ${profiles} (default ${benchProfile})."`
	Duration time.Duration `name:"duration" default:"${benchDuration}" placeholder:"${benchDuration}" group:"What to measure" help:"Length of each of the four measurements, 1s to 1m30s (default ${benchDuration})."`

	JSON bool   `name:"json" group:"What to show" help:"Print JSON instead of tables."`
	HTML string `name:"html" placeholder:"FILE" group:"What to show" help:"Also write a page with plots, which needs no network."`

	identityFlags
	keepaliveFlags
	tuningFlags
	logFlags
}

// Help is shown below the flags.
func (*benchCommand) Help() string {
	return `The agent plays server and player, over the real relay, without touching your
own server: it exposes an echo of its own on two ports that the relay chooses,
and connects to them from here. Beside that it measures the way to the relay
without the funnel, on test ports that funnel-relay opens to this machine alone
and for two minutes. All are measured with nothing else going on, beside an
upload, beside a download, and beside a transfer through the funnel. It moves
as much data as the line carries for half of the time.

What can't be measured, as where a firewall blocks the ports, is said and left
out. The last lines are the verdict: what the bottleneck is and what to do.

Exit status: 0 measured, whatever the verdict, or stopped by a signal, 1 any
other error, 3 the relay refused the key, or it stays locked, 4 the relay's
host key isn't trusted, 5 the relay refused all ports, 80 wrong command line.`
}

// check finds what can't work whatever the relay says.
func (c *benchCommand) check() error {
	if _, err := probe.FindProfile(c.Profile); err != nil {
		return fmt.Errorf("--profile: %w", err)
	}
	if c.Duration < checkup.MinDuration || c.Duration > checkup.MaxDuration {
		return fmt.Errorf("--duration %s: must be from %s to %s, for example %s", c.Duration, checkup.MinDuration, checkup.MaxDuration, checkup.DefaultDuration)
	}
	return errors.Join(c.relayArgument.check(), c.identityFlags.check(), c.keepaliveFlags.check(), c.tuningFlags.check())
}

// run measures, and shows what was measured.
func (c *benchCommand) run(ctx context.Context, stdout, stderr io.Writer) error {
	profile, err := probe.FindProfile(c.Profile)
	if err != nil {
		return err
	}
	page, err := openPage(c.HTML)
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	defer page.close()
	flags := connectionFlags{c.relayArgument, c.identityFlags, c.keepaliveFlags, c.tuningFlags, c.logFlags}
	return flags.with(ctx, stderr, func(config agent.Config) error {
		// What connect does unless told otherwise is measured: TCP that outlives its
		// link, on ports that are kept. The agent is one never seen before, as the one
		// that runs here with its own ID would have to give way.
		config.Instance, _ = instance.Next("")
		config.TCPResume = time.Minute // --tcp-resume's default
		result, err := checkup.Run(ctx, checkup.Options{
			Agent: config, Profile: profile, Duration: c.Duration,
			Progress: func(what string) { fmt.Fprintln(stderr, what) },
		})
		if err != nil {
			return err
		}
		return c.show(result, stdout, page)
	})
}

// show writes the result to where it was asked for.
func (c *benchCommand) show(result *checkup.Result, stdout io.Writer, page *page) error {
	write := result.WriteText
	if c.JSON {
		write = result.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	if err := page.write(result); err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// profileNames are what --profile takes.
func profileNames() string {
	var names []string
	for _, p := range probe.Profiles {
		names = append(names, p.Name)
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
