package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/steady"
)

// TestDemo runs it briefly with the real programs.
func TestDemo(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin+"/", "funnel/cmd/...")
	out, err := build.CombinedOutput()
	require.NoErrorf(t, err, "%s", out)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	defer goleak.VerifyNone(t)

	c := cli{Relay: filepath.Join(bin, "funnel-relay"), Agent: filepath.Join(bin, "funnel-agent"), Rounds: 1, Duration: 200 * time.Millisecond}
	// A datagram that a busy machine holds up for too long is dropped, as it should be.
	err = steady.Measure(3, time.Minute, t.Log, func() (lost string) {
		var printed bytes.Buffer
		require.NoError(t, c.run(context.Background(), &printed))
		for _, way := range []string{"plain TCP", "plain UDP", "funnel TCP", "funnel UDP"} {
			require.Contains(t, printed.String(), "\n"+way)
		}
		for line := range strings.Lines(printed.String()) {
			if strings.HasPrefix(line, "plain ") || strings.HasPrefix(line, "funnel ") {
				if !strings.HasSuffix(line, " 0\n") {
					lost += "lost on loopback: " + line
				}
			}
		}
		return lost
	})
	require.NoError(t, err)
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "files left behind")
}
