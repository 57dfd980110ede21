package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// LoadOrCreate returns the private key in path and makes an ed25519 key there
// when there is none, in OpenSSH's form, mode 0600, in a directory made with
// mode 0700. Programs that start at once agree on one key, and a crash leaves
// either the whole file or none. On Unix, a directory that others can change is
// refused.
func LoadOrCreate(path string) (signer ssh.Signer, created bool, err error) {
	if err := checkDirectory(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	ctx := context.Background() // without a prompt there is nothing to wait for
	signer, err = Load(ctx, path, nil)
	if !errors.Is(err, fs.ErrNotExist) {
		return signer, false, err
	}
	created, err = createKey(path)
	if err != nil {
		return nil, false, fmt.Errorf("create private key %s: %w%s", path, err, remedy(err))
	}
	// What is in the file counts, not what we made: another start may have won.
	signer, err = Load(ctx, path, nil)
	if err != nil {
		return nil, false, err
	}
	return signer, created, nil
}

// remedy is what to do about a directory that takes no file, to follow the error.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return "; make room there, or name another directory with --state-dir"
	case errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ENOTDIR):
		return "; name a directory that can be written with --state-dir"
	}
	return ""
}

// createKey writes a new key beside path and gives it the name only once it is
// complete; created is false when somebody else's was there first.
func createKey(path string) (created bool, err error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return false, err
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(path), directoryMode); err != nil {
		return false, err
	}
	temporary, err := writeTemporary(path, pem.EncodeToMemory(block))
	if err != nil {
		return false, err
	}
	defer os.Remove(temporary) // has no effect after a rename
	if created, err = claim(os.Link, temporary, path); err != nil || !created {
		return false, err
	}
	syncDirectory(filepath.Dir(path))
	return true, nil
}

// writeTemporary writes text to the disk in a file of its own in path's
// directory. os.CreateTemp makes it with mode 0600.
func writeTemporary(path string, text []byte) (name string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(file.Name())
		return "", err
	}
	return file.Name(), nil
}

// claim gives the file the name path if nobody has it. A hard link does so in
// one step. Where the file system has no links (FAT, some network mounts) a
// rename follows a look: still never half a file, but two first starts within
// the same instant may then each begin with a key of its own.
func claim(link func(from, to string) error, temporary, path string) (bool, error) {
	err := link(temporary, path)
	if err == nil {
		return true, nil
	}
	if _, statErr := os.Lstat(path); statErr == nil {
		return false, nil
	}
	if renameErr := os.Rename(temporary, path); renameErr != nil {
		return false, fmt.Errorf("%w, then %w", err, renameErr)
	}
	return true, nil
}

// syncDirectory makes the new name last through a power cut where the system
// can; the key is good without it.
func syncDirectory(path string) {
	directory, err := os.Open(path)
	if err != nil {
		return
	}
	defer directory.Close()
	_ = directory.Sync()
}
