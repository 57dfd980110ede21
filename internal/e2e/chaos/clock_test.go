//go:build linux

package chaos

import (
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// clockVariable names the file of a wallClock to a program, whose package time
// reads it.
const clockVariable = "FUNNEL_CHAOS_CLOCK"

// wallClock is what a program takes for the time of day: the machine's, which a
// test can't set for one program alone, and as far off it as the test says. As of
// the machine's own, the monotonic clock doesn't follow.
type wallClock struct {
	t    testing.TB
	file *os.File // 8 bytes, which the programs map: nanoseconds, in the machine's byte order
	off  time.Duration
}

func newWallClock(t testing.TB) *wallClock {
	file, err := os.Create(filepath.Join(t.TempDir(), "clock"))
	require.NoError(t, err)
	t.Cleanup(func() { file.Close() })
	c := &wallClock{t: t, file: file}
	c.set(0)
	return c
}

// set has the clock go on from the machine's time and off. The programs see it at
// once.
func (c *wallClock) set(off time.Duration) {
	_, err := c.file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(off)), 0)
	require.NoError(c.t, err)
	c.off = off
}

// environment is for a program that is to have this clock.
func (c *wallClock) environment() []string { return []string{clockVariable + "=" + c.file.Name()} }

// wallClockSource is added to Go's package time.
//
//go:embed testdata/chaosclock.go
var wallClockSource string

// overlayClock returns the file for go build -overlay by which programs get their
// wall clock from the one that clockVariable names. It goes to the directory.
func overlayClock(directory string) (string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	ofTime := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(ofTime, "time.go"))
	if err != nil {
		return "", err
	}
	const begin, asks = "\nfunc Now() Time {\n", ":= runtimeNow()\n"
	before, now, found := strings.Cut(string(source), begin)
	body, after, ends := strings.Cut(now, "\n}\n")
	if !found || !ends || strings.Count(body, asks) != 1 {
		return "", errors.New("time.Now of this version of Go asks for the time in another way than overlayClock knows of")
	}
	patched := before + begin + strings.Replace(body, asks, ":= chaosNow()\n", 1) + "\n}\n" + after
	replaced := make(map[string]string)
	for name, text := range map[string]string{"time.go": patched, "chaosclock.go": wallClockSource} {
		file := filepath.Join(directory, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", err
		}
		replaced[filepath.Join(ofTime, name)] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	file := filepath.Join(directory, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o600)
}

// TestClocksThatJump: the clock of either program is set forth and back, as by an
// operator, by NTP, or by a board that wakes up in 1970. Players notice nothing, and the log
// says so once.
func TestClocksThatJump(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.relayFlags = []string{"--log-level", "debug"} // which tells the time all the time
		w.agentFlags = w.relayFlags
	})
	p := w.startPlayer(1)
	w.answered(&p.progress)
	stream, finish := w.startStream(1, chat)
	w.answered(&stream.progress)
	pr := w.startProber()
	pr.servesAfter(time.Now())

	const day = 24 * time.Hour
	sinceEpoch := time.Duration(time.Now().UnixNano())
	jumps := []time.Duration{time.Hour, -time.Hour, 400 * day, 50 * 365 * day, time.Minute - sinceEpoch, 0}
	for _, off := range jumps {
		for _, clock := range []*wallClock{w.relayClock, w.agentClock} {
			clock.set(off)
			for until := time.Now().Add(sized(300*time.Millisecond, 5*time.Second)); time.Now().Before(until); {
				w.answered(&p.progress)
				w.answered(&stream.progress)
				pr.servesAfter(time.Now())
			}
		}
		w.relay.requireTime(off)
		w.agent.requireTime(off)
	}
	finish()
	lost := 0
	for _, probe := range pr.finish() {
		if probe.refused != nil || probe.lost != nil {
			lost++
		}
	}
	figures.add(t, 5, "clocks that jump: new TCP connections that failed", fmt.Sprint(lost))
	require.Zero(t, lost)
	for _, program := range []*process{w.relay, w.agent} {
		require.Len(t, regexp.MustCompile(`(?m)^.* level=INFO msg="the clock was set, .*$`).FindAllString(program.said(), -1), len(jumps))
	}
	require.Len(t, w.arena.ports(1), 1, "the server sees the player from one port")

	// Who starts with a clock that is wrong serves as well.
	w.agent.kill()
	w.relay.kill()
	w.relayClock.set(time.Minute - sinceEpoch)
	w.agentClock.set(400 * day)
	w.startRelay()
	w.startAgent()
	w.agent.expect(`(?m)^funnel is up: `)
	w.answered(&p.progress)
	again := w.startProber()
	again.servesAfter(time.Now())
	again.finish()
	w.relay.requireTime(w.relayClock.off)
	w.agent.requireTime(w.agentClock.off)
}

// requireTime waits until the program logs at a time that is so far off ours.
func (p *process) requireTime(off time.Duration) {
	p.t.Helper()
	var last string
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if all := regexp.MustCompile(`(?m)^time=(\S+)`).FindAllStringSubmatch(p.said(), -1); len(all) > 0 {
			last = all[len(all)-1][1]
		}
		at, err := time.Parse(time.RFC3339Nano, last)
		if err == nil && time.Until(at.Add(-off)).Abs() < time.Minute {
			return
		}
		require.Falsef(p.t, time.Now().After(deadline), "%s takes it for %s, wanted are %v off", p.name, last, off)
	}
}
