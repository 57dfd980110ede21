package access

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// watched is a file of the operator's that counts as it is now. It is read
// when it may have changed and understood anew when it has. Safe for
// concurrent use.
type watched[T any] struct {
	path  string // static, as all down to the blank line; "" is a file that holds nothing
	what  string // names it in errors
	must  bool   // it is an error if the file isn't there
	parse func(data []byte) (T, error)

	mu      sync.Mutex
	info    fs.FileInfo // guarded by mu, as all below; nil if it wasn't there
	settled bool        // when it was read it was old enough that its times tell of any change since
	data    []byte
	value   T
	err     error
	version uint64 // counts changes of value and err
}

// load returns what the file says. A file that isn't there says nothing. The
// version tells whether that is what the last call returned.
func (w *watched[T]) load() (value T, version uint64, err error) {
	if w.path == "" {
		return value, 0, nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	info, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) && !w.must {
		if w.info != nil || w.version == 0 || w.err != nil {
			var nothing T
			w.keep(nil, nil, nothing, nil)
		}
		return w.value, w.version, nil
	}
	if err != nil {
		return w.fail(nil, err)
	}
	if err := guarded(w.path, info); err != nil {
		return w.fail(info, err)
	}
	if w.settled && w.err == nil && sameVersion(w.info, info) {
		return w.value, w.version, nil
	}
	data, info, err := readFile(w.path)
	if w.info != nil && w.err == nil && (errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)) {
		// Want of descriptors says nothing about the file: who is there stays, and it
		// is read as soon as it can be. Nobody new gets in meanwhile, anyway.
		return w.value, w.version, nil
	}
	if err != nil {
		return w.fail(info, err)
	}
	settled := time.Since(info.ModTime()) > settling
	if w.info != nil && w.err == nil && string(w.data) == string(data) {
		w.info, w.settled = info, settled
		return w.value, w.version, nil
	}
	parsed, err := w.parse(data)
	if err != nil {
		return w.fail(info, fmt.Errorf("file %s: %w", w.path, err))
	}
	w.keep(info, data, parsed, nil)
	w.settled = settled
	return w.value, w.version, nil
}

// fail notes that the file can't be relied on.
func (w *watched[T]) fail(info fs.FileInfo, err error) (T, uint64, error) {
	var nothing T
	err = fmt.Errorf("read %s: %w", w.what, err)
	if w.err == nil || w.err.Error() != err.Error() {
		w.keep(info, nil, nothing, err)
	}
	return nothing, w.version, w.err
}

func (w *watched[T]) keep(info fs.FileInfo, data []byte, value T, err error) {
	w.info, w.data, w.value, w.err, w.settled = info, data, value, err, false
	w.version++
}

// steady tells a version that stays from one that is gone at the next look: of a
// file that is being written or replaced there may be a half, or nothing. Safe for
// concurrent use.
type steady struct {
	mu    sync.Mutex
	last  uint64 // version at the last look; guarded by mu, as below
	looks int    // in a row that found another version than the one that counts
}

// look says whether the version that a look has found counts from now on, in place
// of the one that does: when it is the second look that finds it, or when each has
// found another for so long that none would ever count otherwise.
func (s *steady) look(version, counts uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version == counts {
		s.looks = 0
		return false
	}
	s.looks++
	if version != s.last && s.looks < maxUnsteady {
		s.last = version
		return false
	}
	s.looks = 0
	return true
}

func sameVersion(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

// guarded refuses a file that others than its owner can change, or that is
// neither ours nor root's: they could let themselves in (sshd's StrictModes). The
// mode says nothing about it on Windows.
func guarded(path string, info fs.FileInfo) error {
	if runtime.GOOS == "windows" || !info.Mode().IsRegular() {
		return nil
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("file %s can be changed by others than its owner (mode %04o) and is not relied on: run \"chmod go-w %s\"",
			path, mode, path)
	}
	if foreign(info, os.Geteuid()) {
		return fmt.Errorf("file %s belongs to another user and is not relied on: run \"chown %d %s\"", path, os.Geteuid(), path)
	}
	directory := filepath.Dir(path)
	parent, err := os.Stat(directory)
	if err != nil {
		return err
	}
	if mode := parent.Mode(); mode.Perm()&0o022 != 0 && mode&fs.ModeSticky == 0 {
		return fmt.Errorf("file %s can be replaced by others than its owner, as directory %s is theirs to write (mode %04o): run \"chmod go-w %s\"",
			path, directory, mode.Perm(), directory)
	}
	if foreign(parent, os.Geteuid()) {
		return fmt.Errorf("file %s can be replaced by another user, to whom directory %s belongs: run \"chown %d %s\"",
			path, directory, os.Geteuid(), directory)
	}
	return nil
}

// readFile reads the file as a whole, if it isn't larger than maxFile.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("file %s is larger than %d bytes", path, maxFile)
	}
	return data, info, nil
}
