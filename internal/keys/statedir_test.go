package keys

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStateDir(t *testing.T) {
	root := t.TempDir()
	t.Setenv("STATE_DIRECTORY", filepath.Join(root, "first")+string(filepath.ListSeparator)+filepath.Join(root, "second"))
	got, err := StateDir("funnel-relay")
	require.NoError(t, err)
	require.Equal(t, filepath.Join(root, "first"), got)

	t.Setenv("STATE_DIRECTORY", "")
	t.Setenv("HOME", root)
	t.Setenv("LocalAppData", filepath.Join(root, "local"))
	for _, test := range []struct{ system, state, want string }{
		{"linux", "", filepath.Join(root, ".local", "state")},
		{"linux", filepath.Join(root, "xdg"), filepath.Join(root, "xdg")},
		{"linux", "relative", filepath.Join(root, ".local", "state")},
		{"darwin", filepath.Join(root, "xdg"), filepath.Join(root, "Library", "Application Support")},
		{"windows", "", filepath.Join(root, "local")},
	} {
		t.Setenv("XDG_STATE_HOME", test.state)
		got, err := userStateDir(test.system)
		require.NoError(t, err)
		require.Equal(t, test.want, got)
	}

	got, err = StateDir("funnel-agent")
	require.NoError(t, err)
	require.Equal(t, "funnel-agent", filepath.Base(got))

	t.Setenv("LocalAppData", "")
	_, err = userStateDir("windows")
	require.ErrorContains(t, err, "LocalAppData")
}

func TestStateDirWithoutHome(t *testing.T) {
	t.Setenv("HOME", "")
	home, err := homeDir()
	if err == nil {
		require.True(t, filepath.IsAbs(home), "the user database's answer")
		return
	}
	require.ErrorContains(t, err, "$HOME is not set")
}
