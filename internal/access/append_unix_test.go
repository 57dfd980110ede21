//go:build unix

package access

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func mode(t testing.TB, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	require.NoError(t, err)
	return info.Mode()
}

func TestAppendMakesPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "authorized_keys")
	_, _, err := Append(path, testKey(t, 1), "", nil)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), mode(t, path))
	require.Equal(t, os.ModeDir|0o700, mode(t, filepath.Dir(path)))
}

func TestAppendKeepsTheMode(t *testing.T) {
	f := newTestFile(t, "")
	for number, perm := range []os.FileMode{0o600, 0o640, 0o644} {
		require.NoError(t, os.Chmod(f.path, perm))
		_, _, err := Append(f.path, testKey(t, byte(number)), "", nil)
		require.NoError(t, err)
		require.Equal(t, perm, mode(t, f.path))
	}
}

func TestAppendFollowsLinks(t *testing.T) {
	for _, exists := range []bool{true, false} {
		directory := t.TempDir()
		target := filepath.Join(directory, "real", "keys")
		require.NoError(t, os.Mkdir(filepath.Dir(target), 0o700))
		if exists {
			require.NoError(t, os.WriteFile(target, []byte("# mine\n"), 0o600))
		}
		require.NoError(t, os.Symlink(filepath.Join("real", "keys"), filepath.Join(directory, "relative")))
		link := filepath.Join(directory, "link")
		require.NoError(t, os.Symlink(filepath.Join(directory, "relative"), link))

		line, _, err := Append(link, testKey(t, 1), "", nil)
		require.NoError(t, err)
		require.Equal(t, os.ModeSymlink, mode(t, link).Type())
		require.Zero(t, mode(t, target).Type())
		want := line + "\n"
		if exists {
			want = "# mine\n" + want
		}
		require.Equal(t, want, readText(t, target))
		require.Equal(t, want, readText(t, link))
		onlyFile(t, target)
	}
}

func TestAppendRefusesALoopOfLinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "loop")
	require.NoError(t, os.Symlink(path, path))
	_, added, err := Append(path, testKey(t, 1), "", nil)
	require.ErrorContains(t, err, "too many symbolic links")
	require.False(t, added)
}

// Root acts for the service that owns the file or its directory: the service
// must be able to read what root wrote. As another user, everything is that
// user's anyway.
func TestAppendKeepsTheOwner(t *testing.T) {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65534
	}
	owned := func(path string) {
		info, err := os.Stat(path)
		require.NoError(t, err)
		stat := info.Sys().(*syscall.Stat_t)
		require.EqualValues(t, uid, stat.Uid)
		require.EqualValues(t, gid, stat.Gid)
	}
	directory := filepath.Join(t.TempDir(), "state")
	require.NoError(t, os.Mkdir(directory, 0o700))
	require.NoError(t, os.Chown(directory, uid, gid))
	path := filepath.Join(directory, "authorized_keys")
	for number := range byte(2) { // made, then replaced
		_, _, err := Append(path, testKey(t, number), "", nil)
		require.NoError(t, err)
		owned(path)
	}
}

func TestReplaceKeepsTheMode(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1)))
	require.NoError(t, os.Chmod(f.path, 0o640))
	_, err := Replace(f.path, testKey(t, 1), "", nil)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), mode(t, f.path))
}
