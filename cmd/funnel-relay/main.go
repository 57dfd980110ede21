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
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

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

// exit is how kong ends the program when it has printed a help or the version.
type exit int

// parse reads the command line. When done is true there is nothing to run, and
// status is what to exit with.
func parse(args []string, stdout, stderr io.Writer) (chosen command, status int, done bool) {
	defer func() {
		switch code := recover().(type) {
		case nil:
		case exit:
			chosen, status, done = nil, int(code), true
		default:
			panic(code)
		}
	}()
	var line cli
	parser, err := kong.New(&line,
		kong.Name("funnel-relay"),
		kong.Description("Lets servers behind NAT be reached at this machine, over nothing but SSH: the other end is funnel-agent, or ssh -R."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100, NoExpandSubcommands: true}),
		kong.Vars{"version": programVersion(), "maxFlows": strconv.Itoa(session.DefaultMaxFlows)},
	)
	if err != nil {
		panic(err) // the struct tags are wrong, which every test would show
	}
	parsed, err := parser.Parse(asHelp(args))
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

// asHelp has "help", alone or before a command, mean --help: people try it.
func asHelp(args []string) []string {
	isFlag := func(arg string) bool { return strings.HasPrefix(arg, "-") }
	if len(args) == 0 || args[0] != "help" || slices.ContainsFunc(args, isFlag) {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// programVersion is the version given to the linker, or the one Go records for
// a module or a commit, or "devel".
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
