package goruntime

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// childRole is in the environment of the program that a test starts.
const childRole = "FUNNEL_TEST_SLACK"

// child is what the program finds after widenSlack.
type child struct {
	PID    int
	Args   []string
	Marked bool
	Main   time.Duration // the slack of the thread of main
	All    []string      // of all threads, in nanoseconds
}

func TestMain(m *testing.M) {
	if os.Getenv(childRole) == "" {
		os.Exit(m.Run())
	}
	widenSlack()
	found := child{PID: os.Getpid(), Args: os.Args[1:], Marked: os.Getenv(marker) != "", Main: current()}
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		// Root may read those of other threads; for everyone else there is main's.
		if b, err := os.ReadFile(filepath.Join("/proc", thread.Name(), "timerslack_ns")); err == nil {
			found.All = append(found.All, string(b[:len(b)-1]))
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}

// start runs the program with a slack to begin with.
func start(t *testing.T, begin time.Duration) child {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := current()
	require.NoError(t, set(begin))
	defer func() { require.NoError(t, set(before)) }()
	command := exec.Command(os.Args[0], "one", "two words")
	command.Env = append(os.Environ(), childRole+"=1")
	command.Stderr = os.Stderr
	output, err := command.Output()
	require.NoError(t, err)
	var found child
	require.NoError(t, json.Unmarshal(output, &found), "%s", output)
	require.Equal(t, command.Process.Pid, found.PID, "the same process")
	require.Equal(t, []string{"one", "two words"}, found.Args)
	require.False(t, found.Marked)
	return found
}

func TestSlackIsWidened(t *testing.T) {
	found := start(t, usual)
	require.Equal(t, slack, found.Main)
	for _, nanoseconds := range found.All {
		require.Equal(t, strconv.Itoa(int(slack)), nanoseconds)
	}
	if os.Getuid() == 0 {
		require.Greater(t, len(found.All), 1, "sysmon is among them")
	}
}

func TestSlackThatWasChosenStays(t *testing.T) {
	require.Equal(t, 200*time.Microsecond, start(t, 200*time.Microsecond).Main)
}
