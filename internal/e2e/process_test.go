//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// process is a program that a test runs, and stops at its end.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	output *transcript
	ended  chan struct{}
	err    error // of Wait, once ended is closed
}

// transcript is what a process wrote to both of its outputs.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and made anew at each write
}

func (o *transcript) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.text.Write(p)
}

func (o *transcript) read() (text string, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// start runs a program with nothing on its standard input and no terminal.
func start(t testing.TB, path string, args ...string) *process {
	t.Helper()
	return startIn(t, nil, path, args...)
}

// startIn is start with variables added to the environment.
func startIn(t testing.TB, environment []string, path string, args ...string) *process {
	t.Helper()
	command := exec.Command(path, args...)
	command.Env = environment
	return startCommand(t, command)
}

// startCommand is start for a command of which all but its outputs is set, or but
// its standard error: its environment is added to a bare one.
func startCommand(t testing.TB, command *exec.Cmd) *process {
	t.Helper()
	p := &process{
		t: t, name: command.Path, cmd: command,
		output: &transcript{changed: make(chan struct{})}, ended: make(chan struct{}),
	}
	isolate(t, command)
	if p.cmd.Stderr = p.output; p.cmd.Stdout == nil {
		p.cmd.Stdout = p.output
	}
	p.cmd.WaitDelay = time.Second // a child of its may hold its outputs open
	require.NoError(t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(command.Args, " "), p.said())
		}
	})
	return p
}

// isolate has nothing of the user's play a part in a command, and no terminal to
// ask at.
func isolate(t testing.TB, command *exec.Cmd) {
	home := t.TempDir()
	command.Env = append(append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "SSH_AUTH_SOCK=", "STATE_DIRECTORY=", "DISPLAY="),
		command.Env...)
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setsid = true
}

func (p *process) said() string {
	text, _ := p.output.read()
	return text
}

// expect waits until the process has said what the expression matches, and
// returns the groups of the last match.
func (p *process) expect(expression string) []string {
	p.t.Helper()
	return p.expectTimes(expression, 1)
}

// expectTimes is expect for something that is said again.
func (p *process) expectTimes(expression string, times int) []string {
	p.t.Helper()
	pattern := regexp.MustCompile(expression)
	deadline := time.After(patience)
	for ended := false; ; {
		text, changed := p.output.read()
		if found := pattern.FindAllStringSubmatch(text, -1); len(found) >= times {
			return found[len(found)-1]
		}
		require.Falsef(p.t, ended, "%s ended without %q: %v", p.name, expression, p.err)
		select {
		case <-changed:
		case <-p.ended:
			ended = true
		case <-deadline:
			require.Failf(p.t, "waited in vain", "%s didn't say %q", p.name, expression)
		}
	}
}

// kill ends the process and its children as kill -9 does, if they still run.
func (p *process) kill() {
	select {
	case <-p.ended:
		return // its number may be another's by now
	default:
	}
	for _, child := range descendants(p.cmd.Process.Pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// descendants is the children of a process, and theirs.
func descendants(pid int) []int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return nil
	}
	var all []int
	for _, field := range strings.Fields(string(text)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(append(all, child), descendants(child)...)
		}
	}
	return all
}

// status waits until the process has ended by itself.
func (p *process) status() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Failf(p.t, "waited in vain", "%s didn't end", p.name)
	}
	return p.cmd.ProcessState.ExitCode()
}

// matches reports whether text holds what an expression wants, or the
// expression itself, as a fingerprint may look like one.
func matches(expression, text string) bool {
	return strings.Contains(text, expression) || regexp.MustCompile(expression).MatchString(text)
}
