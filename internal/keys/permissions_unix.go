//go:build unix

package keys

import (
	"fmt"
	"os"
	"syscall"
)

// checkPermissions refuses a key of ours that others may read. As in ssh, a key
// that belongs to somebody else, such as a mounted secret of root's, is theirs
// to guard.
func checkPermissions(path string, info os.FileInfo) error {
	owner, known := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if known && int(owner.Uid) != os.Getuid() {
		return nil
	}
	return fmt.Errorf("private key %s is open to others (mode %04o): run \"chmod 600 %s\"",
		path, info.Mode().Perm(), path)
}
