//go:build unix

package access

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// keepOwner gives f the owner and group of another file.
func keepOwner(f *os.File, like fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	have, haveOK := info.Sys().(*syscall.Stat_t)
	want, wantOK := like.Sys().(*syscall.Stat_t)
	if !haveOK || !wantOK || have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	if err := f.Chown(int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("keep the owner of %s: %w", like.Name(), err)
	}
	return nil
}

// foreign says whether a file belongs to somebody who is neither root nor user.
// For root everybody's files are its own: whoever named them decided so.
func foreign(info fs.FileInfo, user int) bool {
	owner, known := info.Sys().(*syscall.Stat_t)
	return known && user != 0 && owner.Uid != 0 && int(owner.Uid) != user
}
