// Command notices prints the licenses of all that is in our programs and isn't
// ours, which most of them want to go along with binaries.
//
//	go run ./packaging/notices
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// systems are those that there are binaries for: not all take the same libraries.
var systems = []string{"linux", "darwin", "windows", "freebsd"}

// texts is how the names of files begin that are to go along, in whatever case.
var texts = []string{"license", "licence", "copying", "notice", "patents"}

func main() {
	out := bufio.NewWriter(os.Stdout)
	if err := errors.Join(run(out), out.Flush()); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// library is a module in our programs, or Go itself.
type library struct{ path, version, dir string }

func run(w io.Writer) error {
	libraries, err := list()
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "What funnel-relay and funnel-agent are made of besides their own source, and its licenses.")
	for _, l := range libraries {
		if err := l.write(w); err != nil {
			return err
		}
	}
	return nil
}

// list is all of them, sorted by path, Go first.
func list() ([]library, error) {
	out, err := output(nil, "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	var found []library
	for _, system := range systems {
		out, err := output([]string{"GOOS=" + system, "CGO_ENABLED=0"}, "list", "-deps",
			"-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "./cmd/...")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == 3 {
				found = append(found, library{fields[0], fields[1], fields[2]})
			}
		}
	}
	slices.SortFunc(found, func(a, b library) int { return cmp.Compare(a.path, b.path) })
	return append([]library{{"Go, its standard library and runtime", version, root}}, slices.Compact(found)...), nil
}

func output(environment []string, args ...string) ([]byte, error) {
	command := exec.Command("go", args...) // #nosec G204 -- all of it is ours
	command.Env = append(os.Environ(), environment...)
	out, err := command.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(failed.Stderr))
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", args[0], err)
	}
	return out, nil
}

// write writes the library's texts. One that has none can't be shipped.
func (l library) write(w io.Writer) error {
	fmt.Fprintf(w, "\n\n======== %s %s\n", l.path, l.version)
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	written := 0
	for _, entry := range entries {
		name := strings.ToLower(entry.Name())
		goesAlong := func(begins string) bool { return strings.HasPrefix(name, begins) }
		if !entry.Type().IsRegular() || !slices.ContainsFunc(texts, goesAlong) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(l.dir, entry.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "\n-------- %s\n\n%s", entry.Name(), text)
		written++
	}
	if written == 0 {
		return fmt.Errorf("%s %s has no license", l.path, l.version)
	}
	return nil
}
