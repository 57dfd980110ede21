//go:build linux

package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// programs is the directory of the two binaries.
var programs string

func TestMain(m *testing.M) {
	if os.Getenv(fleetAgents) != "" {
		beFleet()
	}
	os.Exit(run(m))
}

// run builds the programs, with clocks that tests can set, and with the race
// detector if the tests have it, runs the tests, and prints the figures.
func run(m *testing.M) int {
	directory, err := os.MkdirTemp("", "funnel-chaos-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(directory)
	overlay, err := overlayClock(directory)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	args := []string{"build", "-overlay", overlay, "-o", directory + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "funnel/cmd/funnel-relay", "funnel/cmd/funnel-agent")...)
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, output)
		return 1
	}
	programs = directory
	status := m.Run()
	fmt.Print(figures.String())
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	return status
}
