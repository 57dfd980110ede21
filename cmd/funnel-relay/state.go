package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"funnel/internal/keys"
)

// hostKeyFile is the host key in the state directory, if none is named.
const hostKeyFile = "host_ed25519"

// serviceState is the state directory of the unit in packaging/systemd. systemd
// tells it to the service alone.
const serviceState = "/var/lib/funnel-relay"

// directory is the state directory.
func (s *state) directory() (string, error) {
	if s.StateDir != "" {
		return s.StateDir, nil
	}
	return keys.StateDir("funnel-relay")
}

// authorizedKeys is the authorized keys file.
func (s *state) authorizedKeys() (string, error) {
	if s.AuthorizedKeys != "" {
		return s.AuthorizedKeys, nil
	}
	directory, err := s.directory()
	if err != nil {
		return "", err
	}
	return filepath.Join(directory, "authorized_keys"), nil
}

// authorizeLine is what a user types to let a key into the file that counts
// here, up to the key: their environment isn't that of a service.
func (s *state) authorizeLine() string {
	const command = "funnel-relay authorize"
	if s.AuthorizedKeys != "" {
		return command + " --authorized-keys " + asTyped(s.AuthorizedKeys)
	}
	directory, err := s.directory()
	if err != nil {
		return command
	}
	if users, err := keys.UserStateDir("funnel-relay"); err == nil && sameFile(users, directory) {
		return command
	}
	return command + " --state-dir " + asTyped(directory)
}

// asTyped is a path as it is typed, wherever that is.
func asTyped(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if strings.ContainsAny(path, " \t\"'$&|;<>()*?[]#~`!") {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}

// warn tells w if the files may not be those of the relay that is meant.
func (s *state) warn(w io.Writer) {
	if doubt := s.doubt(serviceState, os.Geteuid() == 0); doubt != "" {
		fmt.Fprintf(w, "funnel-relay: warning: %s\n", doubt)
	}
}

// doubt is what speaks against the state directory's being the relay's, or "".
// service is where a relay that systemd runs has its state; for root that is
// likely the one that is meant.
func (s *state) doubt(service string, root bool) string {
	directory, err := s.directory()
	if err != nil || s.AuthorizedKeys != "" { // a file may be anywhere
		return ""
	}
	_, err = os.Lstat(service) // who may not look into it sees that it is there
	elsewhere := err == nil && !sameFile(service, directory)
	if root && elsewhere && s.StateDir == "" {
		return fmt.Sprintf("a relay that runs as a service reads %s, and not %s: if that one is meant, say --state-dir %s", service, directory, service)
	}
	if _, err := os.Stat(filepath.Join(directory, hostKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	another := "--state-dir"
	if elsewhere {
		another += " " + service
	}
	return fmt.Sprintf("no relay seems to have run with state directory %s yet, as there is no host key in it: if the relay has another one, say %s", directory, another)
}

// sameFile says whether two paths lead to the same file.
func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	if errA == nil && errB == nil {
		return os.SameFile(infoA, infoB)
	}
	return filepath.Clean(a) == filepath.Clean(b)
}
