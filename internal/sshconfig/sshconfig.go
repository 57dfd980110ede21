// Package sshconfig reads what the user's ssh configuration says of a host, and
// destinations in the form that ssh takes.
package sshconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
)

// Host is what the configuration says of a host. Fields it does not speak of
// are zero.
type Host struct {
	// HostName is the name or address to dial; it is the alias itself when the
	// configuration names no other.
	HostName string
	// Port is 1 to 65535, or 0 when none is named.
	Port uint16
	// User is the name to log in with.
	User string
	// IdentityFiles are the private or public keys, in order, with full paths
	// as far as the configuration gives them. They need not exist.
	IdentityFiles []string
	// UserKnownHostsFiles are the known_hosts files, in order. Empty but not
	// nil means "none": no file is to be used.
	UserKnownHostsFiles []string
}

// Warning is one sentence about a line that was not used, with its file and
// number.
type Warning string

// Lookup reads the files, or the user's and then the system's configuration when
// none is named, as ssh does: of most keywords the first value counts. What
// cannot be understood is a warning and costs as little as possible: a line
// itself, or the block of a Match that only ssh could decide. The one error is a
// named file that cannot be read.
//
// %r in a path is the configuration's User, or else the local user's name, as
// the look-up knows of no command line.
func Lookup(alias string, files ...string) (Host, []Warning, error) {
	r := &reader{alias: alias, env: currentEnvironment(), unused: make(map[string]bool)}
	named := len(files) > 0
	system := systemFile()
	if !named {
		files = []string{system}
		if r.env.home != "" {
			files = []string{filepath.Join(r.env.home, ".ssh", "config"), system}
		}
	}
	for _, path := range files {
		err := r.readFile(path, source{base: r.baseOf(path, system), state: yes})
		switch {
		case err == nil:
		case named:
			return Host{}, nil, fmt.Errorf("read ssh configuration: %w", err)
		case !errors.Is(err, fs.ErrNotExist):
			r.warnings = append(r.warnings, Warning(fmt.Sprintf("ssh configuration not used: %v", err)))
		}
	}
	return r.result(), r.warnings, nil
}

// systemFile is the configuration for all users.
func systemFile() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(os.Getenv("ProgramData"), "ssh", "ssh_config")
	}
	return "/etc/ssh/ssh_config"
}

// baseOf is the directory that an Include with a relative path starts at.
func (r *reader) baseOf(path, system string) string {
	if path == system {
		return filepath.Dir(system)
	}
	return filepath.Join(r.env.home, ".ssh")
}

// result expands what was read. It comes last because the paths may speak of
// the name, port and user, which need not stand before them.
func (r *reader) result() Host {
	host := Host{HostName: r.currentHostName(), Port: r.port, User: r.user}
	if r.hostName != "" {
		if _, err := expand(r.hostName, map[byte]string{'h': r.alias}); err != nil {
			r.warnings = append(r.warnings, Warning(fmt.Sprintf("HostName not used: %v", err)))
		}
	}
	tokens := r.tokens(host)
	host.IdentityFiles = r.expandAll("IdentityFile", r.identities, tokens)
	host.UserKnownHostsFiles = r.expandAll("UserKnownHostsFile", r.knownHosts, tokens)
	if r.knownHosts != nil && host.UserKnownHostsFiles == nil {
		host.UserKnownHostsFiles = []string{}
	}
	return host
}

func (r *reader) tokens(host Host) map[byte]string {
	user, port := host.User, host.Port
	if user == "" {
		user = r.env.user
	}
	if port == 0 {
		port = 22
	}
	return map[byte]string{
		'd': r.env.home, 'u': r.env.user, 'h': host.HostName, 'k': host.HostName,
		'n': r.alias, 'r': user, 'p': strconv.Itoa(int(port)),
	}
}

// expandAll leaves out "none" and what cannot be expanded.
func (r *reader) expandAll(keyword string, values []string, tokens map[byte]string) (paths []string) {
	for _, value := range values {
		if value == "none" {
			continue
		}
		path, err := r.env.expandPath(value, tokens)
		if err != nil {
			r.warnings = append(r.warnings, Warning(fmt.Sprintf("%s not used: %v", keyword, err)))
			continue
		}
		paths = append(paths, path)
	}
	return paths
}
