//go:build unix

package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/bench/report"
	"funnel/bench/result"
)

// programs builds everything once.
func programs(t *testing.T) (bench, relay, agent string) {
	t.Helper()
	dir := t.TempDir()
	for _, target := range []string{"funnel/cmd/...", "funnel/bench"} {
		out, err := exec.Command("go", "build", "-o", dir+"/", target).CombinedOutput()
		require.NoErrorf(t, err, "%s", out)
	}
	return filepath.Join(dir, "bench"), filepath.Join(dir, "funnel-relay"), filepath.Join(dir, "funnel-agent")
}

// TestQuick runs the scenarios of loopback briefly, and reads the result back in
// every way there is. What needs root is run by make bench.
func TestQuick(t *testing.T) {
	bench, relay, agent := programs(t)
	temp := t.TempDir()
	run := func(dir string) {
		cmd := exec.Command(bench, "run", "--quick", "--scenario=loopback,rate-64,bulk-upload,idle",
			"--systems=forwarder,funnel,funnel-lanes-1", "--variant=two=--lanes 2 --copies 2",
			"--relay", relay, "--agent", agent, "--out", dir)
		cmd.Env = append(os.Environ(), "TMPDIR="+temp)
		out, err := cmd.CombinedOutput()
		require.NoErrorf(t, err, "%s", out)
		require.Contains(t, string(out), "funnel-two UDP")
	}
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	run(a)
	run(b)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "files left behind")

	r, err := result.Load(a)
	require.NoError(t, err)
	require.Empty(t, r.LeftOut)
	require.Len(t, r.Scenarios, 4)
	for _, run := range r.Runs {
		require.Emptyf(t, run.Error, "%s %s", run.Scenario, run.Way)
	}
	page, err := os.ReadFile(filepath.Join(a, "report.html"))
	require.NoError(t, err)
	require.NotRegexp(t, `(src|href)="?https?:`, string(page), "the page asks the network")
	require.FileExists(t, filepath.Join(a, "plots", "loopback-latency.png"))

	ra, err := report.New(a)
	require.NoError(t, err)
	rb, err := report.New(b)
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, report.Compare(&text, ra, rb))
	require.Contains(t, text.String(), "echoed/s")
	text.Reset()
	require.NoError(t, ra.WriteMarkdown(&text, report.Choice{Scenarios: []string{"loop*"}, Systems: []string{"funnel"}}))
	require.Contains(t, text.String(), "| loopback | funnel UDP |")
	require.NotContains(t, text.String(), "direct")
}

// TestInterrupted: a Ctrl-C in the midst of it leaves nothing.
func TestInterrupted(t *testing.T) {
	bench, relay, agent := programs(t)
	temp, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	cmd := exec.Command(bench, "run", "--scenario=loopback", "--systems=funnel", "--duration=1h", "--relay", relay, "--agent", agent, "--out", out)
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	var said strings.Builder
	for b := make([]byte, 1000); !strings.Contains(said.String(), "round 1"); {
		n, err := stderr.Read(b)
		said.Write(b[:n])
		require.NoErrorf(t, err, "it said: %s", said.String())
	}
	children, err := exec.Command("pgrep", "-P", strconv.Itoa(cmd.Process.Pid)).Output()
	require.NoError(t, err)
	pids := strings.Fields(string(children))
	require.NotEmpty(t, pids)

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(stderr)
	require.NoError(t, err)
	require.Error(t, cmd.Wait())
	require.Equalf(t, 130, cmd.ProcessState.ExitCode(), "it said: %s", rest)
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		require.NoError(t, err)
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	require.NoDirExists(t, out)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "files left behind")
}
