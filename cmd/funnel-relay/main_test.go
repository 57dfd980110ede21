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
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"funnel-relay": main})
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
		{"help-serve", "serve", "--help"},
		{"help-authorize", "authorize", "--help"}, {"help-authorize", "help", "authorize"},
		{"help-list", "keys", "list", "--help"}, {"help-list", "help", "keys", "list"},
		{"help-revoke", "keys", "revoke", "--help"},
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
