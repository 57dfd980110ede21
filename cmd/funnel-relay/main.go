// Command funnel-relay is the SSH server through which funnel-agents, and stock
// SSH clients, expose servers behind NAT.
//
// Its rules for output: what a person or script waits for, the addresses, the
// host keys and how to connect, goes to standard output; everything else goes
// to standard error, errors with the prefix "funnel-relay: error:".
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/alecthomas/kong"

	"funnel/cmd/internal/cmdline"
	"funnel/internal/goruntime"
	"funnel/internal/session"
)

// Exit statuses, as the help tells them.
const (
	statusFailed = 1
	statusUsage  = 80
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
// process, as signals do by default.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	command, status, done := parse(args, stdout, stderr)
	if done {
		return status
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := command.run(ctx, streams{stdin, stdout, stderr})
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "funnel-relay: error: %v\n", err)
	if _, usage := errors.AsType[*usageError](err); usage {
		fmt.Fprintln(stderr, helpHint)
		return statusUsage
	}
	return statusFailed
}

// streams are the program's.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is what the command line asks for.
type command interface {
	run(ctx context.Context, streams streams) error
}

// usageError is what is wrong with the command line beyond its grammar.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

const helpHint = `Run "funnel-relay --help" for what it takes.`

// parse reads the command line. When done is true there is nothing to run, and
// status is what to exit with.
func parse(args []string, stdout, stderr io.Writer) (chosen command, status int, done bool) {
	var line cli
	parsed, err := cmdline.Parse(&line, args, stdout, stderr,
		kong.Name("funnel-relay"),
		kong.Description("Lets servers behind NAT be reached at this machine, over nothing but SSH: the other end is funnel-agent, or ssh -R."),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100, NoExpandSubcommands: true}),
		kong.Vars{"version": cmdline.Version(version), "maxFlows": strconv.Itoa(session.DefaultMaxFlows)},
	)
	if exit, ok := errors.AsType[cmdline.Exit](err); ok {
		return nil, int(exit), true
	}
	if err != nil {
		fmt.Fprintf(stderr, "funnel-relay: error: %v\n%s\n", err, helpHint)
		return nil, statusUsage, true
	}
	switch parsed.Selected().Name {
	case "authorize":
		return &line.Authorize, 0, false
	case "list":
		return &line.Keys.List, 0, false
	case "revoke":
		return &line.Keys.Revoke, 0, false
	}
	return &line.Serve, 0, false
}
