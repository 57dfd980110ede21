package trust

import (
	"os"
	"os/user"
	"path/filepath"
	"runtime"
)

// userFiles are the files ssh keeps for the user; none when there is no home.
func userFiles() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		// A service often has no $HOME; the user database may know better.
		current, err := user.Current()
		if err != nil || current.HomeDir == "" {
			return nil
		}
		home = current.HomeDir
	}
	return []string{filepath.Join(home, ".ssh", "known_hosts"), filepath.Join(home, ".ssh", "known_hosts2")}
}

// systemFiles are the files ssh keeps for all users.
func systemFiles() []string {
	directory := "/etc/ssh"
	if runtime.GOOS == "windows" {
		directory = filepath.Join(os.Getenv("ProgramData"), "ssh")
	}
	return []string{filepath.Join(directory, "ssh_known_hosts"), filepath.Join(directory, "ssh_known_hosts2")}
}
