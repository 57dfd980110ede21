//go:build linux

// Package e2e tests the whole: the two programs as processes, with the field's
// own programs around them. Programs that a test needs and that aren't
// installed skip it, or fail it if FUNNEL_REQUIRE_ALL=1; FUNNEL_LARGE=1 sends
// 1 GiB where 32 MiB are sent otherwise, FUNNEL_HOSTILE=1 makes the tests of load
// heavy and long.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. No test takes it for a
// measure of speed.
const patience = 40 * time.Second

// programs is the directory of the two binaries.
var programs string

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role))
	}
	os.Exit(run(m))
}

// run builds the programs, once for all tests.
func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "funnel-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	build := exec.Command("go", "build", "-o", directory+string(filepath.Separator), "funnel/cmd/funnel-relay", "funnel/cmd/funnel-agent")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, output)
		return 1
	}
	programs = directory
	return m.Run()
}

// need is the path of a program that the test can't do without.
func need(t testing.TB, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		lack(t, "%s is not installed", program)
	}
	return path
}

// lack skips a test that this machine can't run, and fails it where all must.
func lack(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("FUNNEL_REQUIRE_ALL") == "1" {
		t.Fatalf("FUNNEL_REQUIRE_ALL=1, but "+format, args...)
	}
	t.Skipf("SKIPPED, NOT TESTED: "+format, args...)
}
