//go:build !unix

package access

import (
	"io/fs"
	"os"
)

// keepOwner does nothing where a directory decides who owns its files.
func keepOwner(*os.File, fs.FileInfo) error { return nil }

// foreign is false where the mode bits say nothing of who may write.
func foreign(fs.FileInfo, int) bool { return false }
