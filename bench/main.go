// Bench is the laboratory: it measures Funnel beside direct traffic, ssh and any
// other tunnel, over emulated links on one machine. README.md tells how.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"funnel/bench/lab"
	"funnel/internal/probe"
)

// cli is the command line.
type cli struct {
	Run     runCommand     `cmd:"" default:"withargs" help:"Run the laboratory and write a report (the default command)."`
	List    listCommand    `cmd:"" help:"List scenarios, systems and profiles."`
	Report  reportCommand  `cmd:"" help:"Write the report of a result anew."`
	Compare compareCommand `cmd:"" help:"Set two results side by side."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("bench"), kong.UsageOnError(),
		kong.Vars{"rounds": strconv.Itoa(lab.DefaultRounds), "duration": lab.DefaultDuration.String(), "profile": probe.DefaultProfile},
		kong.Description("Measure Funnel beside direct traffic, ssh and any other tunnel, over emulated links on one machine."))
	// A second Ctrl-C doesn't kill: what was started must be stopped first.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	k.BindTo(ctx, (*context.Context)(nil))
	err := k.Run()
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "bench: interrupted; everything it had started is stopped and removed")
		os.Exit(130) // 128 + SIGINT, as shells have it
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: error: %v\n", err)
		os.Exit(1)
	}
}
