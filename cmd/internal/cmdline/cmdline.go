// Package cmdline is what the command lines of both programs have in common.
package cmdline

import (
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit says that there is nothing to run: a help or the version was printed. It is
// the status to exit with.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// Parse reads a command line into line, a struct with kong's tags. The error is an
// Exit, or says what is wrong with args.
func Parse(line any, args []string, stdout, stderr io.Writer, options ...kong.Option) (parsed *kong.Context, err error) {
	// Kong goes on after it has printed a help, unless the program ends there.
	defer func() {
		switch code := recover().(type) {
		case nil:
		case Exit:
			parsed, err = nil, code
		default:
			panic(code)
		}
	}()
	options = append(options, kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(Exit(code)) }))
	parser, err := kong.New(line, options...)
	if err != nil {
		panic(err) // the struct tags are wrong, which every test would show
	}
	return parser.Parse(asHelp(args))
}

// asHelp has "help", alone or before a command, mean --help: people try it.
func asHelp(args []string) []string {
	isFlag := func(arg string) bool { return strings.HasPrefix(arg, "-") }
	if len(args) == 0 || args[0] != "help" || slices.ContainsFunc(args, isFlag) {
		return args
	}
	return append(slices.Clone(args[1:]), "--help")
}

// Version is the version given to the linker, or the one Go records for a module
// or a commit, or "devel".
func Version(linked string) string {
	if linked != "" {
		return linked
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}
