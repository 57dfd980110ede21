//go:build unix

package keys

import (
	"fmt"
	"os"
	"syscall"
)

// checkPermissions refuses a key of ours that others may read, and any that they
// may change. As in ssh, a key that belongs to somebody else, such as a mounted
// secret of root's, is theirs to guard from readers.
func checkPermissions(path string, info os.FileInfo) error {
	mode := info.Mode().Perm()
	if !info.Mode().IsRegular() || mode&0o077 == 0 {
		return nil
	}
	owner, known := info.Sys().(*syscall.Stat_t)
	if known && int(owner.Uid) != os.Getuid() && mode&0o022 == 0 {
		return nil
	}
	return fmt.Errorf("private key %s is open to others (mode %04o): run \"chmod 600 %s\"", path, mode, path)
}

// checkDirectory refuses a directory of ours in which others could put a key of
// theirs. Where the sticky bit is set, as in /tmp, they can't.
func checkDirectory(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 && mode&os.ModeSticky == 0 {
		return fmt.Errorf("directory %s can be changed by others (mode %04o): run \"chmod go-w %s\"", path, mode.Perm(), path)
	}
	if foreign(info, os.Geteuid()) {
		return fmt.Errorf("directory %s belongs to another user: run \"chown %d %s\"", path, os.Geteuid(), path)
	}
	return nil
}

// foreign says whether a file belongs to somebody who is neither root nor user.
// For root everybody's files are its own: whoever named them decided so.
func foreign(info os.FileInfo, user int) bool {
	owner, known := info.Sys().(*syscall.Stat_t)
	return known && user != 0 && owner.Uid != 0 && int(owner.Uid) != user
}
