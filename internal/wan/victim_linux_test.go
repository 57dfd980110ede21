package wan_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"funnel/internal/wan"
)

// victim in the environment has the test binary make a world and wait to be
// killed.
const victim = "FUNNEL_WAN_VICTIM"

// remains is what a world could leave behind.
type remains struct {
	Namespaces []uint64 // inode numbers
	Processes  []int
}

// inhabit starts a program in each host, and notes what should be gone after
// the world's end.
func inhabit(three *wan.Three) (r remains, err error) {
	for _, h := range []*wan.Host{three.Player, three.VPS, three.Home} {
		var stat unix.Stat_t
		if err := h.Do(func() error { return unix.Stat("/proc/thread-self/ns/net", &stat) }); err != nil {
			return r, err
		}
		r.Namespaces = append(r.Namespaces, stat.Ino)
		// The context lives longer than this process does.
		c := h.Command(context.Background(), "sleep", "1000")
		if err := c.Start(); err != nil {
			return r, err
		}
		go func() { _ = c.Wait() }()
		r.Processes = append(r.Processes, c.Process.Pid)
	}
	return r, nil
}

// left returns what of it is still there, "" if nothing is.
func (r remains) left() string {
	// Namespaces, by whatever keeps them: a thread or an open file of anyone's.
	for _, pattern := range []string{"/proc/[0-9]*/task/*/ns/net", "/proc/[0-9]*/fd/*"} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			target, _ := os.Readlink(path)
			for _, ino := range r.Namespaces {
				if target == fmt.Sprintf("net:[%d]", ino) {
					return path + " " + target
				}
			}
		}
	}
	for _, pid := range r.Processes {
		command, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
		if strings.Contains(string(command), "sleep") {
			return fmt.Sprintf("process %d", pid)
		}
	}
	return ""
}

func requireNothingLeft(t *testing.T, r remains) {
	t.Helper()
	require.Eventually(t, func() bool { return r.left() == "" }, 20*time.Second, 20*time.Millisecond, "something is left")
}

// beVictim is what the process does that is to be killed.
func beVictim() {
	three, err := wan.NewThree(wan.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r, err := inhabit(three)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	select {}
}

func TestNothingIsLeftOfAKilledProcess(t *testing.T) {
	newThree(t, 1) // are we allowed to?
	c := exec.CommandContext(t.Context(), "/proc/self/exe")
	c.Env = append(os.Environ(), victim+"=1")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	var r remains
	require.NoError(t, json.Unmarshal(line, &r))
	require.Len(t, r.Namespaces, 3)
	require.NotEmpty(t, r.left())

	require.NoError(t, c.Process.Kill())
	_ = c.Wait()
	requireNothingLeft(t, r)
}

func TestNothingIsLeftAfterClose(t *testing.T) {
	three := newThree(t, 1)
	r, err := inhabit(three)
	require.NoError(t, err)
	require.NotEmpty(t, r.left())
	// One that a command starts, and that no signal of its parent reaches.
	c := three.VPS.Command(t.Context(), "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!")
	out, err := c.Output()
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	require.NoError(t, err)
	r.Processes = append(r.Processes, pid)

	// A socket keeps its namespace, in which we look once more.
	var inside *os.File
	require.NoError(t, three.VPS.Do(func() (err error) {
		inside, err = os.Open("/proc/thread-self/net/dev")
		return err
	}))
	defer inside.Close()

	require.NoError(t, three.Close())
	require.NoError(t, three.Close())
	devices, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", inside.Fd()))
	require.NoError(t, err)
	require.Contains(t, string(devices), "lo:")
	require.NotContains(t, string(devices), "home:")
	requireNothingLeft(t, r)

	_, err = three.Host("late")
	require.ErrorIs(t, err, os.ErrClosed)
	_, err = three.Link(three.Player, three.Home, netip.MustParsePrefix("198.18.3.0/24"))
	require.ErrorIs(t, err, os.ErrClosed)
}
