// Demo runs a relay and an agent on this machine, as two processes with keys
// that are thrown away, and measures the way through them beside the way without.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"funnel/bench/system"
	"funnel/internal/probe"
)

type cli struct {
	Relay    string        `default:"bin/funnel-relay" placeholder:"FILE" help:"The relay's program (default bin/funnel-relay)."`
	Agent    string        `default:"bin/funnel-agent" placeholder:"FILE" help:"The agent's program (default bin/funnel-agent)."`
	Rounds   int           `default:"3" help:"How often each way has its turn (default 3)."`
	Duration time.Duration `default:"2s" help:"How long a turn is (default 2s)."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("demo"), kong.Description("Run a relay and an agent on this machine and measure the way through."), kong.UsageOnError())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.run(ctx, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "demo: error: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func (c *cli) run(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "funnel-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	place := system.Loopback(dir, filepath.Join(dir, "logs"))
	targets, err := system.StartTargets(place.Home)
	if err != nil {
		return fmt.Errorf("start the echo servers: %w", err)
	}
	defer targets.Close()
	plain, err := system.Direct().Start(ctx, place, targets)
	if err != nil {
		return err
	}
	funnel, err := system.Funnel("funnel", "", system.Programs{Relay: c.Relay, Agent: c.Agent}, "auto").Start(ctx, place, targets)
	if err != nil {
		return err
	}
	defer funnel.Stop()
	fmt.Fprintf(w, "relay (process %d) and agent (process %d) are up on loopback:\n", funnel.Relay.Pid(), funnel.Agent.Pid())
	fmt.Fprintf(w, "  tcp  %s -> echo at %s\n  udp  %s -> echo at %s\n\n", funnel.TCP, targets.TCP, funnel.UDP, targets.UDP)
	ways := []*way{
		{name: "plain TCP", network: "tcp", address: plain.TCP},
		{name: "plain UDP", network: "udp", address: plain.UDP},
		{name: "funnel TCP", network: "tcp", address: funnel.TCP},
		{name: "funnel UDP", network: "udp", address: funnel.UDP},
	}
	if err := c.measure(ctx, w, place, ways); err != nil {
		return err
	}
	table(w, ways)
	return nil
}

// way is one of those compared.
type way struct {
	name, network, address string
	series                 []probe.Series
}

// demoRate is of messages a second: high enough for a p99 within seconds, low
// enough that each finds the path idle.
const demoRate = 200

func (c *cli) measure(ctx context.Context, w io.Writer, place *system.Place, ways []*way) error {
	profile, err := probe.FindProfile(probe.DefaultProfile)
	if err != nil {
		return err
	}
	plan := probe.Plan{Rate: demoRate, Size: profile.Size, Duration: c.Duration, Grace: time.Second}
	fmt.Fprintf(w, "%d rounds of %s each way in turn, %d messages of %d bytes a second:\n\n", c.Rounds, c.Duration, demoRate, plan.Size)
	for range c.Rounds {
		for _, way := range ways {
			if err := way.turn(ctx, place, plan); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
		}
	}
	return nil
}

// turn measures the way once.
func (way *way) turn(ctx context.Context, place *system.Place, plan probe.Plan) error {
	conn, err := place.Dial(ctx, way.network, way.address)
	if err != nil {
		return err
	}
	defer conn.Close()
	reach, cancel := context.WithTimeoutCause(ctx, 10*time.Second, fmt.Errorf("nothing came back for 10s"))
	defer cancel()
	if way.network == "udp" {
		if err := probe.ReachUDP(reach, conn, plan.Size); err != nil {
			return err
		}
		series, err := probe.UDP(ctx, plan, conn)
		way.series = append(way.series, series...)
		return err
	}
	if err := probe.ReachTCP(reach, conn, plan.Size); err != nil {
		return err
	}
	series, err := probe.TCP(ctx, plan, conn)
	way.series = append(way.series, series)
	return err
}

func table(w io.Writer, ways []*way) {
	fmt.Fprintf(w, "%-12s %9s %9s %9s %9s %9s %6s\n", "round trip", "p50", "p90", "p99", "p99.9", "max", "lost")
	for _, way := range ways {
		s := probe.Summarize(0, way.series...)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.3f ms", d.Seconds()*1000) }
		fmt.Fprintf(w, "%-12s %9s %9s %9s %9s %9s %6d\n", way.name, ms(s.P50), ms(s.P90), ms(s.P99), ms(s.P999), ms(s.Max), s.Sent-s.Received)
	}
}
