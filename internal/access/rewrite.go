package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxLinks bounds a chain of symbolic links, as kernels do (Linux: 40).
const maxLinks = 40

// rewrite replaces the file at path by what change makes of its content, which
// is empty if there is no file. An error of change is returned as it is and
// leaves everything untouched.
//
// The new content goes to a file beside it that is then renamed. That file is
// made exclusively, and so is the lock too: it keeps others out from before the
// old content is read until the new one is in its place.
func rewrite(path string, change func(data []byte) ([]byte, error)) (err error) {
	target, err := followLinks(path)
	if err != nil {
		return err
	}
	directory := filepath.Dir(target)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("make directory %s: %w", directory, err)
	}
	lock, err := lockFile(target + ".lock")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = lock.Close() // closed already, or beside the point
			err = errors.Join(err, os.Remove(lock.Name()))
		}
	}()
	data, info, err := readFile(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		data, info = nil, nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", target)
	}
	if data, err = change(data); err != nil {
		return err
	}
	if err := fill(lock, directory, info, data); err != nil {
		return fmt.Errorf("write %s: %w", lock.Name(), err)
	}
	if err := os.Rename(lock.Name(), target); err != nil {
		return err
	}
	syncDirectory(directory)
	return nil
}

// fill writes a new version of a file to f, like the old one, which info is
// about if there is one, and closes f.
func fill(f *os.File, directory string, info fs.FileInfo, data []byte) error {
	if info == nil && os.Geteuid() == 0 {
		// What root makes in a service's directory is for the service to read.
		owner, err := os.Stat(directory)
		if err == nil {
			err = keepOwner(f, owner)
		}
		if err != nil {
			return err
		}
	}
	if info != nil {
		if err := keepOwner(f, info); err != nil {
			return err
		}
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

// lockFile makes a file that isn't there, and waits up to lockWait until it
// isn't.
func lockFile(path string) (*os.File, error) {
	for start := time.Now(); ; time.Sleep(lockPoll) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		if time.Since(start) > lockWait {
			return nil, fmt.Errorf("file %s is there: another program is at work, or one was interrupted; in that case remove it", path)
		}
	}
}

// followLinks is the path behind symbolic links, which needn't exist.
func followLinks(path string) (string, error) {
	for range maxLinks {
		next, err := os.Readlink(path)
		if err != nil {
			return path, nil // no link; what else is wrong with it shows later
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return "", fmt.Errorf("follow %s: too many symbolic links", path)
}

// syncDirectory makes a rename in a directory outlast a power cut at once and
// not some seconds later. Some systems can't; the file is whole either way, so
// that is no error.
func syncDirectory(path string) {
	if directory, err := os.Open(path); err == nil {
		_ = directory.Sync()
		_ = directory.Close()
	}
}
