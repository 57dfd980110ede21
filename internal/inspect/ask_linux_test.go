package inspect

import (
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestWhoMayNotLookIsTold: that no program runs there is not known.
func TestWhoMayNotLookIsTold(t *testing.T) {
	directory := shortDir(t)
	defer open(t, directory, 1).Close()
	require.NoError(t, os.Chmod(directory, 0))
	// For root it takes another user's rights, which this thread keeps for the rest
	// of its life: it ends with the test.
	runtime.LockOSThread()
	_, err := unix.SetfsuidRetUid(54321)
	require.NoError(t, err)
	answers, err := Ask(t.Context(), directory)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.Empty(t, answers)
	require.NoError(t, unix.Setfsuid(os.Getuid()))
	require.NoError(t, os.Chmod(directory, 0o700))
}
