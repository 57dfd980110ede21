//go:build unix

package keys

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadRefusesOpenKey(t *testing.T) {
	private, _ := newKey(t)
	path := writeKey(t, private, "")
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := Load(t.Context(), path, nil)
		require.ErrorContains(t, err, `run "chmod 600 `+path+`"`)
		_, _, err = LoadOrCreate(path)
		require.ErrorContains(t, err, "chmod 600", "also for a key of our own")
	}
	for _, mode := range []os.FileMode{0o600, 0o400, 0o700} {
		require.NoError(t, os.Chmod(path, mode))
		_, err := Load(t.Context(), path, nil)
		require.NoError(t, err)
	}
}

// TestDirectoryOthersMayChange: who can put a key there could be the relay.
func TestDirectoryOthersMayChange(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "key")
	for _, exists := range []bool{false, true} {
		for _, mode := range []os.FileMode{0o777, 0o720, 0o702} {
			require.NoError(t, os.Chmod(directory, mode))
			_, _, err := LoadOrCreate(path)
			require.ErrorContains(t, err, `run "chmod go-w `+directory+`"`)
		}
		if !exists {
			require.NoFileExists(t, path)
		}
		for _, mode := range []os.FileMode{0o700, 0o755, 0o777 | os.ModeSticky} {
			require.NoError(t, os.Chmod(directory, mode))
			_, created, err := LoadOrCreate(path)
			require.NoError(t, err)
			require.Equal(t, !exists && mode == 0o700, created)
		}
	}
}

func TestForeign(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "file"), "")
	const somebody = 54321
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(path, somebody, -1))
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	require.False(t, foreign(info, owner))
	require.True(t, foreign(info, owner+1))
	require.False(t, foreign(info, 0), "root")
	if os.Getuid() == 0 {
		require.NoError(t, os.Chmod(path, 0o640))
		info, err = os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, checkPermissions(path, info), "readers are the owner's to choose")
		require.NoError(t, os.Chmod(path, 0o660))
		info, err = os.Stat(path)
		require.NoError(t, err)
		require.ErrorContains(t, checkPermissions(path, info), "open to others", "but nobody else writes")
		require.NoError(t, os.Chown(path, 0, -1))
		info, err = os.Stat(path)
		require.NoError(t, err)
		require.False(t, foreign(info, 1), "root's file")
	}
}
