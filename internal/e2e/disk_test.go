//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// mountDisk is a directory on a disk of its own, of one page.
func mountDisk(t *testing.T) string {
	directory := t.TempDir()
	if err := unix.Mount("tmpfs", directory, "tmpfs", 0, "size=4096,mode=0700"); err != nil {
		lack(t, "can't mount a tmpfs: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(directory, unix.MNT_DETACH)) })
	return directory
}

// fullDisk is a directory in which files can be made, and not written.
func fullDisk(t *testing.T) string {
	directory := mountDisk(t)
	require.NoError(t, os.WriteFile(filepath.Join(directory, "much"), make([]byte, 4096), 0o600))
	require.ErrorIs(t, os.WriteFile(filepath.Join(directory, "more"), []byte("x"), 0o600), unix.ENOSPC)
	return directory
}

// readOnlyDisk is a directory that nobody can write to, root neither.
func readOnlyDisk(t *testing.T) string {
	directory := mountDisk(t)
	require.NoError(t, unix.Mount("", directory, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	return directory
}

// TestStateThatCantBeWritten: an agent that has a key goes on without a state, and
// who can't have one is told what to do.
func TestStateThatCantBeWritten(t *testing.T) {
	r := startRelay(t)
	target := serveTCP(t, echoTCP)
	for name, disk := range map[string]struct {
		make   func(*testing.T) string
		cause  string
		remedy string
	}{
		"full":      {fullDisk, "no space left on device", "make room there, or name another directory with --state-dir"},
		"read-only": {readOnlyDisk, "read-only file system", "name a directory that can be written with --state-dir"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := disk.make(t)
			a := r.startAgent(t, "--state-dir", directory, "--tcp", "0:"+target)
			a.expect(`level=WARN msg="the relay will not know this agent when it starts again.*` + disk.cause)
			requireEchoAt(t, a.public("tcp", target))
			a.kill()

			p := start(t, filepath.Join(programs, "funnel-agent"), "--host-key", r.fingerprint, "--state-dir", directory, "--tcp", "0:"+target, r.address)
			require.Equal(t, 1, p.status())
			require.Contains(t, p.said(), disk.cause)
			require.Contains(t, p.said(), disk.remedy)

			p = start(t, filepath.Join(programs, "funnel-relay"), "--listen", "127.0.0.1:0", "--state-dir", directory)
			require.Equal(t, 1, p.status())
			require.Contains(t, p.said(), disk.cause)
			require.Contains(t, p.said(), disk.remedy)
		})
	}
}

// TestStateWithoutASocket: a path that is too long for one is no reason not to
// run.
func TestStateWithoutASocket(t *testing.T) {
	r := startRelay(t)
	target := serveTCP(t, echoTCP)
	deep := filepath.Join(t.TempDir(), "a-directory-whose-name-is-long-enough-that-no-socket-fits-below-it-as-their-paths-end-at-108-bytes")
	a := r.startAgent(t, "--state-dir", deep, "--tcp", "0:"+target, "--log-level", "debug")
	a.expect(`level=DEBUG msg="funnel-agent status will not know this agent"`)
	requireEchoAt(t, a.public("tcp", target))
	entries, err := os.ReadDir(deep)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the ID")
}
