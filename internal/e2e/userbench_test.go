//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/checkup"
	"funnel/internal/wan"
)

// oneWay is the emulated line's delay each way.
const oneWay = 10 * time.Millisecond

// good is a line without fault: what its rate makes wait is too short to feel.
var good = wan.Conditions{Delay: oneWay, Rate: 40_000_000, Queue: 10 * time.Millisecond}

// TestBenchNamesTheBottleneck runs funnel-agent bench over emulated lines, each
// with a fault of its own, or none. The bounds are wide: what they keep apart are
// faults, not milliseconds.
func TestBenchNamesTheBottleneck(t *testing.T) {
	if err := wan.Available(); err != nil {
		lack(t, "no line can be emulated here: %v", err)
	}
	with := func(change func(*wan.Conditions)) wan.Conditions {
		c := good
		change(&c)
		return c
	}
	lossy := with(func(c *wan.Conditions) { c.Loss = 0.02 })
	noUDP := with(func(c *wan.Conditions) { c.NoUDP = true })
	busy := with(func(c *wan.Conditions) { c.Rate, c.Queue = 10_000_000, 200*time.Millisecond })
	for _, test := range []struct {
		name     string
		down, up wan.Conditions
		want     checkup.Fault
		check    func(t testing.TB, r *checkup.Result)
	}{
		{"clean", good, good, checkup.None, func(t testing.TB, r *checkup.Result) {
			require.Less(t, lossOf(t, r, checkup.PlainUDP), 0.005)
			rate := conditionOf(t, r, checkup.Upload).Bulk
			require.Greater(t, rate, 20e6)
			require.Less(t, rate, 40e6)
		}},
		{"lossy", lossy, lossy, checkup.Loss, func(t testing.TB, r *checkup.Result) {
			// 2 % each way are 4 % there and back.
			loss := lossOf(t, r, checkup.PlainUDP)
			require.Greater(t, loss, 0.015)
			require.Less(t, loss, 0.075)
			lossOf(t, r, checkup.FunnelUDP)
		}},
		{"busy uplink", good, busy, checkup.Uplink, func(t testing.TB, r *checkup.Result) {
			upload := conditionOf(t, r, checkup.Upload)
			require.Greater(t, upload.Bulk, 7e6)
			require.Less(t, upload.Bulk, 10e6)
			queue := wayOf(t, upload, checkup.PlainUDP).Summary.P50 - 2*oneWay
			require.Greater(t, queue, 100*time.Millisecond)
			require.Less(t, queue, 260*time.Millisecond)
			require.Contains(t, r.Verdict[0].Text, "your uplink is the bottleneck")
			require.Regexp(t, `--bulk-rate [567]M`, r.Verdict[0].Text)
		}},
		{"UDP blocked", noUDP, noUDP, checkup.UDPBlocked, func(t testing.TB, r *checkup.Result) {
			quiet := conditionOf(t, r, checkup.Quiet)
			for _, m := range quiet.Ways {
				udp := m.Way == checkup.PlainUDP || m.Way == checkup.FunnelUDP
				require.Equal(t, udp, m.Blocked, m.Way)
				require.Equal(t, udp, m.Summary == nil, m.Way)
			}
			conditionOf(t, r, checkup.Through) // it went on
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			duration := 1300 * time.Millisecond
			if test.want == checkup.Loss {
				duration *= 2 // so that 4 % are some 13 messages
			}
			bench := benchOver(t, test.down, test.up, duration)
			measure(t, func(t testing.TB) {
				result := bench(t)
				require.Equal(t, test.want, result.Verdict[0].Fault, "%+v", result.Verdict)
				quiet := conditionOf(t, result, checkup.Quiet)
				requireAbout(t, 2*oneWay, wayOf(t, quiet, checkup.PlainTCP).Summary.P50)
				requireAbout(t, 4*oneWay, wayOf(t, quiet, checkup.FunnelTCP).Summary.P50)
				require.NotNil(t, result.Kernel)
				requireAbout(t, 2*oneWay, result.Kernel.MinRTT)
				if test.want != checkup.UDPBlocked {
					requireAbout(t, 2*oneWay, wayOf(t, quiet, checkup.PlainUDP).Summary.P50)
					requireAbout(t, 4*oneWay, wayOf(t, quiet, checkup.FunnelUDP).Summary.P50)
				}
				test.check(t, result)
			})
		})
	}
}

// TestBenchGoesOnAfterACut: its agent is one that keeps its ports, as any other.
func TestBenchGoesOnAfterACut(t *testing.T) {
	if err := wan.Available(); err != nil {
		lack(t, "no line can be emulated here: %v", err)
	}
	three, agent := benchers(t, good, good)
	bench := agent("--duration", "1s", "--json")
	var stdout bytes.Buffer
	bench.Stdout = &stdout
	stderr, err := bench.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, bench.Start())
	var said strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.HasSuffix(lines.Text(), "beside an upload to the relay") {
			// Long enough for the link to be given up, and short enough for the
			// connections that the bench measures with.
			three.HomeLink.Cut()
			time.Sleep(6 * time.Second)
			three.HomeLink.Restore()
		}
	}
	require.NoError(t, bench.Wait(), said.String())
	require.Contains(t, said.String(), "connected to the relay again")
	result := new(checkup.Result)
	require.NoError(t, json.Unmarshal(stdout.Bytes(), result))
	require.Positive(t, wayOf(t, conditionOf(t, result, checkup.Through), checkup.FunnelTCP).Summary.Received, result.Notes)
}

// requireAbout wants a round trip that is what is emulated, give or take the
// emulator's own precision, and some milliseconds more on a busy machine.
func requireAbout(t testing.TB, want, got time.Duration) {
	t.Helper()
	require.Greater(t, got, want-500*time.Microsecond)
	require.Less(t, got, want+8*time.Millisecond)
}

func conditionOf(t testing.TB, r *checkup.Result, load checkup.Load) *checkup.Condition {
	t.Helper()
	for i := range r.Conditions {
		if r.Conditions[i].Load == load {
			return &r.Conditions[i]
		}
	}
	require.Failf(t, "not measured", "%s: %v", load, r.Notes)
	return nil
}

func wayOf(t testing.TB, c *checkup.Condition, way checkup.Way) *checkup.Measured {
	t.Helper()
	for i := range c.Ways {
		if m := &c.Ways[i]; m.Way == way && m.Summary != nil {
			return m
		}
	}
	require.Failf(t, "not measured", "%s: %+v", way, c.Ways)
	return nil
}

func lossOf(t testing.TB, r *checkup.Result, way checkup.Way) float64 {
	t.Helper()
	return wayOf(t, conditionOf(t, r, checkup.Quiet), way).Loss
}

// benchers runs a relay on the VPS and returns what makes commands that run the
// bench at home, whom the relay lets in.
func benchers(t *testing.T, down, up wan.Conditions) (*wan.Three, func(args ...string) *exec.Cmd) {
	three, err := wan.NewThree(wan.Options{Seed: 7})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, three.Close()) })
	require.NoError(t, three.HomeLink.Set(down, up))

	directory := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), measureTime()+2*patience)
	t.Cleanup(cancel)
	relay := startCommand(t, three.VPS.Command(ctx, filepath.Join(programs, "funnel-relay"),
		"--listen", three.HomeLink.Addr(three.VPS).String()+":0", "--state-dir", filepath.Join(directory, "relay")))
	port := relay.expect(`listening on \S+:(\d+)\n`)[1]
	hostKey := relay.expect(`(?m)^host key (SHA256:\S+)`)[1]

	address := three.HomeLink.Addr(three.VPS).String() + ":" + port
	agent := func(args ...string) *exec.Cmd {
		args = append([]string{"bench", "--state-dir", filepath.Join(directory, "agent"), "--host-key", hostKey}, args...)
		command := three.Home.Command(ctx, filepath.Join(programs, "funnel-agent"), append(args, address)...)
		isolate(t, command)
		return command
	}
	// The first time it makes its key, and is told that nobody knows it.
	var stderr bytes.Buffer
	first := agent()
	first.Stderr = &stderr
	require.Error(t, first.Run())
	require.Equal(t, 3, first.ProcessState.ExitCode(), stderr.String())
	_, key, found := strings.Cut(stderr.String(), "funnel-relay authorize '")
	require.True(t, found, stderr.String())
	key, _, _ = strings.Cut(key, "'")
	authorize := exec.Command(filepath.Join(programs, "funnel-relay"), "authorize", "--state-dir", filepath.Join(directory, "relay"), key)
	output, err := authorize.CombinedOutput()
	require.NoError(t, err, string(output))
	return three, agent
}

// benchOver returns what runs the bench at home, over a home link whose directions
// are as given, and returns the result. The page with plots is looked at, too.
func benchOver(t *testing.T, down, up wan.Conditions, duration time.Duration) func(testing.TB) *checkup.Result {
	_, agent := benchers(t, down, up)
	var stdout, stderr bytes.Buffer
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(stdout.String(), stderr.String()) // of the last
		}
	})
	page := filepath.Join(t.TempDir(), "page.html")
	return func(t testing.TB) *checkup.Result {
		stdout.Reset()
		stderr.Reset()
		bench := agent("--profile", "tournament", "--duration", duration.String(), "--json", "--html", page)
		bench.Stdout, bench.Stderr = &stdout, &stderr
		require.NoError(t, bench.Run(), stderr.String())
		result := new(checkup.Result)
		require.NoError(t, json.Unmarshal(stdout.Bytes(), result))
		html, err := os.ReadFile(page)
		require.NoError(t, err)
		require.Equal(t, len(result.Conditions), strings.Count(string(html), "<svg"))
		require.NotContains(t, string(html), "<script")
		require.NotContains(t, strings.ReplaceAll(string(html), "http://www.w3.org/2000/svg", ""), "http", "it needs no network")
		return result
	}
}
