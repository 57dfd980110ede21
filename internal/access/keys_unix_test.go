//go:build unix

package access

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who can write to the file could let himself in.
func TestFileOthersMayWriteIsNotReliedOn(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+"\n")
	for _, test := range []struct {
		mode   os.FileMode
		relied bool
	}{
		{0o644, true}, {0o664, false}, {0o666, false}, {0o600, true}, {0o602, false}, {0o600, true},
	} {
		require.NoError(t, os.Chmod(f.path, test.mode))
		for range 2 {
			_, err := f.authorize(1)
			if test.relied {
				require.NoError(t, err, "%o", test.mode)
				continue
			}
			require.ErrorContains(t, err, "can be changed by others than its owner")
			require.ErrorContains(t, err, "chmod go-w "+f.path)
		}
	}
	require.NoError(t, os.Chmod(filepath.Dir(f.path), 0o777))
	f.write(keyText(testKey(t, 2)))
	_, err := f.authorize(2)
	require.ErrorContains(t, err, "can be replaced by others than its owner")
	require.NoError(t, os.Chmod(filepath.Dir(f.path), 0o777|os.ModeSticky))
	_, err = f.authorize(2)
	require.NoError(t, err, "as in /tmp")
}

func TestForeign(t *testing.T) {
	f := newTestFile(t, "")
	const somebody = 54321
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(f.path, somebody, -1))
	}
	info, err := os.Stat(f.path)
	require.NoError(t, err)
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	require.False(t, foreign(info, owner))
	require.True(t, foreign(info, owner+1))
	require.False(t, foreign(info, 0), "root")
}
