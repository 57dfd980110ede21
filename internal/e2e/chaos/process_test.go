//go:build linux

package chaos

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/wan"
)

// process is a program that a test runs in a host, and stops at its end.
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

// start runs a program in the host, with nothing of the user's playing a part.
func start(t testing.TB, host *wan.Host, environment []string, path string, args ...string) *process {
	t.Helper()
	home := t.TempDir()
	// The world ends the program too; the context is for one that outlives it.
	command := host.Command(context.Background(), path, args...)
	command.Env = append(append(os.Environ(), "HOME="+home, "XDG_STATE_HOME="+home, "SSH_AUTH_SOCK=", "STATE_DIRECTORY=", "DISPLAY="), environment...)
	command.SysProcAttr.Setsid = true
	p := &process{
		t: t, name: path, cmd: command,
		output: &transcript{changed: make(chan struct{})}, ended: make(chan struct{}),
	}
	var output io.Writer = p.output
	if chaosLogs != "" {
		file, err := os.CreateTemp(chaosLogs, time.Now().Format("150405.000-")+filepath.Base(path)+"-*.log")
		require.NoError(t, err, "FUNNEL_CHAOS_LOGS")
		t.Cleanup(func() { file.Close() })
		output = io.MultiWriter(output, file)
	}
	command.Stdout, command.Stderr = output, output
	command.WaitDelay = time.Second
	require.NoError(t, command.Start())
	go func() {
		p.err = command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		require.NotContains(t, p.said(), "WARNING: DATA RACE")
		require.NotContains(t, p.said(), "panic: ")
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(command.Args, " "), shortened(p.said()))
		}
	})
	return p
}

// shortened keeps a log readable: its beginning and its end.
func shortened(text string) string {
	const most = 16_000
	if len(text) <= most {
		return text
	}
	return text[:most/4] + "\n[...]\n" + text[len(text)-most*3/4:]
}

func (p *process) said() string {
	text, _ := p.output.read()
	return text
}

// expect waits until the process has said what the expression matches, and
// returns the groups.
func (p *process) expect(expression string) []string {
	p.t.Helper()
	pattern := regexp.MustCompile(expression)
	deadline := time.After(patience)
	for ended := false; ; {
		text, changed := p.output.read()
		if match := pattern.FindStringSubmatch(text); match != nil {
			return match
		}
		require.Falsef(p.t, ended, "%s ended without %q: %v\n%s", p.name, expression, p.err, text)
		select {
		case <-changed:
		case <-p.ended:
			ended = true
		case <-deadline:
			require.Failf(p.t, "waited in vain", "%s didn't say %q, but %s", p.name, expression, text)
		}
	}
}

// signal sends a signal to a process that hasn't ended.
func (p *process) signal(s syscall.Signal) {
	if !p.hasEnded() {
		_ = p.cmd.Process.Signal(s)
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// goroutines ends the process with SIGQUIT, and counts the goroutines that Go's
// runtime then tells of.
func (p *process) goroutines() int {
	p.t.Helper()
	p.signal(syscall.SIGQUIT)
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(p.t, "waited in vain", "%s didn't end on SIGQUIT", p.name)
	}
	// Those that the runtime starts for itself come and go.
	n := 0
	for _, stack := range regexp.MustCompile(`(?m)^goroutine \d+.*\n(.*\n)*?(\n|\z)`).FindAllString(p.said(), -1) {
		if !strings.Contains(stack, "created by runtime.") {
			n++
		}
	}
	return n
}

// footprint is what a process holds.
type footprint struct {
	files, sockets int
	memory         int64 // resident, in bytes
}

func (f footprint) String() string {
	return fmt.Sprintf("%d descriptors (%d sockets), %.1f MB", f.files, f.sockets, float64(f.memory)/1e6)
}

// footprint reads it from /proc (proc(5)).
func (p *process) footprint() (f footprint) {
	p.t.Helper()
	directory := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	entries, err := os.ReadDir(directory + "/fd")
	require.NoError(p.t, err)
	for _, e := range entries {
		target, err := os.Readlink(directory + "/fd/" + e.Name())
		if err != nil {
			continue // closed meanwhile
		}
		f.files++
		if strings.HasPrefix(target, "socket:") {
			f.sockets++
		}
	}
	status, err := os.ReadFile(directory + "/status")
	require.NoError(p.t, err)
	for line := range strings.Lines(string(status)) {
		if rest, found := strings.CutPrefix(line, "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(p.t, err)
			f.memory = kib << 10
		}
	}
	return f
}
