// Command funnel-agent exposes TCP and UDP servers behind NAT through a
// funnel-relay, or TCP servers through any SSH server that forwards ports.
//
// Its rules for output: what a person or script waits for, the report of what
// is reachable where, goes to standard output; everything else goes to standard
// error, errors with the prefix "funnel-agent: error:".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"funnel/cmd/internal/cmdline"
	"funnel/internal/agent"
	"funnel/internal/checkup"
	"funnel/internal/goruntime"
	"funnel/internal/keys"
	"funnel/internal/probe"
	"funnel/internal/replay"
)

// Exit statuses, as the help tells them. Those of usage are kong's.
const (
	statusFailed   = 1
	statusAuth     = 3
	statusHostKey  = 4
	statusForward  = 5
	statusOutlived = 6
	statusUsage    = 80
)

// version is set by the linker (-X main.version=…); without, the build's own
// record of it is used.
var version string

func main() {
	goruntime.Calm()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: its arguments and streams in, its exit status out. It
// ends when ctx does or at a first SIGINT or SIGTERM; a second one kills the
// process, as signals do by default. Questions are asked at the controlling
// terminal, so that standard input isn't read.
func run(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	command, status, done := parse(args, stdout, stderr)
	if done {
		return status
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := command.run(ctx, stdout, stderr)
	if err == nil || ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintf(stderr, "funnel-agent: error: %v\n", err)
	if hinted, ok := errors.AsType[*hintedError](err); ok {
		fmt.Fprintf(stderr, "%s", hinted.hint)
	}
	return exitStatus(err)
}

func exitStatus(err error) int {
	if _, locked := errors.AsType[*keys.PassphraseError](err); locked {
		return statusAuth // also before there is a login to refuse it
	}
	switch {
	case errors.Is(err, agent.ErrAuth):
		return statusAuth
	case errors.Is(err, agent.ErrHostKey):
		return statusHostKey
	case errors.Is(err, agent.ErrForward):
		return statusForward
	case errors.Is(err, agent.ErrOutlived):
		return statusOutlived
	}
	return statusFailed
}

// command is what the command line asks for.
type command interface {
	// check finds what can't work whatever the relay says.
	check() error
	run(ctx context.Context, stdout, stderr io.Writer) error
}

// parse reads the command line. When done is true there is nothing to run, and
// status is what to exit with.
func parse(args []string, stdout, stderr io.Writer) (chosen command, status int, done bool) {
	var line cli
	parsed, err := cmdline.Parse(&line, args, stdout, stderr,
		kong.Name("funnel-agent"),
		kong.Description("Exposes TCP and UDP servers behind NAT through a relay, over nothing but SSH."),
		kong.Help(printHelp),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
		kong.Vars{
			"version": cmdline.Version(version), "maxFlows": strconv.Itoa(replay.DefaultMaxFlows), "lanes": strconv.Itoa(replay.DefaultLanes),
			"benchDuration": checkup.DefaultDuration.String(), "benchProfile": probe.DefaultProfile, "profiles": profileNames(),
		},
	)
	if exit, ok := errors.AsType[cmdline.Exit](err); ok {
		return nil, int(exit), true
	}
	switch {
	case err == nil:
		chosen = &line.Connect
		switch parsed.Selected().Name {
		case "bench":
			chosen = &line.Bench
		case "status":
			chosen = &line.Status
		}
		err = chosen.check()
	case strings.Contains(err.Error(), `expected "<relay>"`):
		err = fmt.Errorf("which relay? Name it as [user@]host[:port], as in %q", example)
	}
	if err != nil {
		fmt.Fprintf(stderr, "funnel-agent: error: %v\nRun \"funnel-agent --help\" for what it takes.\n", err)
		return nil, statusUsage, true
	}
	return chosen, 0, false
}

// printHelp prints the help of connect when no command was named: it is the one
// that runs then.
func printHelp(options kong.HelpOptions, help *kong.Context) error {
	if help.Selected() == nil {
		connect, err := kong.Trace(help.Kong, []string{"connect"})
		if err != nil {
			return err
		}
		help = connect
	}
	return kong.DefaultHelpPrinter(options, help)
}
