package keys

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
)

// StateDir is the directory in which the program ("funnel-relay",
// "funnel-agent") keeps its keys; it need not exist yet.
//
// systemd's $STATE_DIRECTORY is taken as it is, the first directory when it
// names several, for a unit has its own. Otherwise it is a directory of the
// program's name in the user's directory for state: $XDG_STATE_HOME or
// ~/.local/state, on macOS ~/Library/Application Support, on Windows
// %LocalAppData%.
func StateDir(program string) (string, error) {
	if list := filepath.SplitList(os.Getenv("STATE_DIRECTORY")); len(list) > 0 && filepath.IsAbs(list[0]) {
		return list[0], nil
	}
	return UserStateDir(program)
}

// UserStateDir is StateDir for a program that a user starts, and not systemd.
func UserStateDir(program string) (string, error) {
	base, err := userStateDir(runtime.GOOS)
	if err != nil {
		return "", fmt.Errorf("find the state directory of %s: %w; name one with --state-dir", program, err)
	}
	return filepath.Join(base, program), nil
}

func userStateDir(system string) (string, error) {
	if system == "windows" {
		if local := os.Getenv("LocalAppData"); local != "" {
			return local, nil
		}
		return "", errors.New("%LocalAppData% is not set")
	}
	// The XDG base directory specification says that a relative path is to be
	// ignored.
	if state := os.Getenv("XDG_STATE_HOME"); system != "darwin" && filepath.IsAbs(state) {
		return state, nil
	}
	home, err := homeDir()
	if err != nil {
		return "", err
	}
	if system == "darwin" {
		return filepath.Join(home, "Library", "Application Support"), nil
	}
	return filepath.Join(home, ".local", "state"), nil
}

// homeDir asks the user database when the environment, as that of a service
// often does, names no home.
func homeDir() (string, error) {
	if home, err := os.UserHomeDir(); err == nil {
		return home, nil
	}
	current, err := user.Current()
	if err != nil {
		return "", fmt.Errorf("$HOME is not set and the user is unknown: %w", err)
	}
	if current.HomeDir == "" {
		return "", fmt.Errorf("$HOME is not set and user %s has no home", current.Username)
	}
	return current.HomeDir, nil
}
