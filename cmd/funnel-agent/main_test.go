package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"funnel/internal/keys"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"funnel-agent": main})
}

// TestScripts runs what people and scripts type.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			// Nothing of the machine that runs the test plays a part.
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("SSH_AUTH_SOCK", "")
			env.Setenv("STATE_DIRECTORY", "")
			return nil
		},
	})
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{
		{"help", "--help"}, {"help", "help"},
		{"help-bench", "bench", "--help"}, {"help-bench", "help", "bench"},
		{"help-status", "status", "--help"}, {"help-status", "help", "status"},
	} {
		t.Run(strings.Join(args[1:], " "), func(t *testing.T) {
			name, args := args[0], args[1:]
			t.Setenv("COLUMNS", "") // kong would wrap there
			var stdout, stderr bytes.Buffer
			require.Zero(t, run(t.Context(), args, strings.NewReader(""), &stdout, &stderr))
			require.Empty(t, stderr.String())
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				require.NoError(t, os.WriteFile(golden, stdout.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), stdout.String(), "go test -update writes it anew")
		})
	}
}

// TestWrongCommandLine: a script can tell a slip in the command line from whatever
// else goes wrong.
func TestWrongCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{"--tcp", "25565", "--host-key", "SHA256:abc", "relay.invalid"},
		{"bench", "--host-key", "SHA256:abc", "relay.invalid"},
		{"--tcp", "25565", "relay.invalid:99999"},
		{"--tcp", "25565:", "relay.invalid"},
	} {
		var stdout, stderr bytes.Buffer
		args = append(args, "--state-dir", t.TempDir())
		require.Equal(t, statusUsage, run(t.Context(), args, strings.NewReader(""), &stdout, &stderr), "%v: %s", args, &stderr)
		require.Contains(t, stderr.String(), `Run "funnel-agent --help"`)
	}
}

// TestHintForKeys: what to type on the relay is told once at each start.
func TestHintForKeys(t *testing.T) {
	directory := t.TempDir()
	for _, hint := range []string{"what stands above", "  funnel-relay authorize 'ssh-ed25519 "} {
		identities, err := keys.Open(t.Context(), keys.Options{StateDir: directory})
		require.NoError(t, err)
		require.Contains(t, hintForKeys(identities), hint)
		require.NoError(t, identities.Close())
	}
}
