//go:build unix

package access

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFileOthersMayWriteIsWarnedOf(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+"\n")
	for _, test := range []struct {
		mode     os.FileMode
		warnings int
	}{
		{0o644, 0}, {0o664, 1}, {0o666, 0}, {0o600, 0}, {0o602, 1},
	} {
		require.NoError(t, os.Chmod(f.path, test.mode))
		for range 2 {
			_, err := f.authorize(1)
			require.NoError(t, err)
		}
		warnings := f.warnings()
		require.Len(t, warnings, test.warnings, "%o", test.mode)
		for _, w := range warnings {
			require.Contains(t, w, "can be changed by others")
			require.Contains(t, w, "file="+f.path)
		}
	}
}
