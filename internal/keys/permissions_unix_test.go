//go:build unix

package keys

import (
	"os"
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
