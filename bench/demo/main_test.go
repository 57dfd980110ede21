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

	var printed bytes.Buffer
	c := cli{Relay: filepath.Join(bin, "funnel-relay"), Agent: filepath.Join(bin, "funnel-agent"), Rounds: 1, Duration: 200 * time.Millisecond}
	require.NoError(t, c.run(context.Background(), &printed))
	for _, way := range []string{"plain TCP", "plain UDP", "funnel TCP", "funnel UDP"} {
		require.Contains(t, printed.String(), "\n"+way)
	}
	for line := range strings.Lines(printed.String()) {
		if strings.HasPrefix(line, "plain ") || strings.HasPrefix(line, "funnel ") {
			require.Truef(t, strings.HasSuffix(line, " 0\n"), "lost on loopback: %s", line)
		}
	}
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left, "files left behind")
}
