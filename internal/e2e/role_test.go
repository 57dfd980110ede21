//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// roleVariable makes the test program one of roles instead of the tests: what
// needs descriptors of its own, or a lower priority than what is measured.
const roleVariable = "FUNNEL_TEST_ROLE"

// roles are what the test program can be. Each prints one line when it is ready
// and ends with its standard input.
var roles = map[string]func(arguments []string) error{
	"echoes":    runEchoes,
	"attackers": runAttackers,
}

// play runs a role. Errors are the test's to see.
func play(role string) int {
	run := roles[role]
	if run == nil {
		fmt.Fprintf(os.Stderr, "there is no role %q\n", role)
		return 1
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// untilTold returns when whoever started the role wants it to end.
func untilTold() { _, _ = io.Copy(io.Discard, os.Stdin) }

// actor is a running role.
type actor struct {
	*process
	end func() (output string) // ends it, and is what it said
}

// startRole starts a role at a niceness on top of the test's own, and returns
// with the line that it says when it is ready.
func startRole(t testing.TB, niceness int, role string, arguments ...string) (a *actor, ready string) {
	t.Helper()
	command := exec.Command(need(t, "nice"), append([]string{"-n", fmt.Sprint(niceness), os.Args[0]}, arguments...)...)
	command.Env = []string{roleVariable + "=" + role}
	stdin, err := command.StdinPipe()
	require.NoError(t, err)
	a = &actor{process: startCommand(t, command)}
	a.end = func() string {
		t.Helper()
		stdin.Close()
		require.Zerof(t, a.status(), "%s said: %s", role, a.said())
		return a.said()
	}
	a.expect(`\n`)
	select {
	case <-a.ended:
		require.Fail(t, role+" did not begin", a.said())
	default:
	}
	ready, _ = bufio.NewReader(strings.NewReader(a.said())).ReadString('\n')
	return a, strings.TrimSpace(ready)
}

// raiseDescriptors lets this process, and those it starts from now on, have as
// many descriptors as the system allows, up to most, and returns how many.
func raiseDescriptors(t testing.TB, most uint64) uint64 {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Max < most { // which takes CAP_SYS_RESOURCE
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: most, Max: most}) == nil {
			return most
		}
	}
	wanted := syscall.Rlimit{Cur: min(limit.Max, max(most, limit.Cur)), Max: limit.Max}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wanted))
	return wanted.Cur
}
