package sshconfig

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
)

// environment is what values may speak of besides the host.
type environment struct {
	home string // empty when unknown
	user string // the local user's name
}

func currentEnvironment() environment {
	var env environment
	if current, err := user.Current(); err == nil {
		// On Windows the name is DOMAIN\name.
		env.user = current.Username[strings.LastIndexByte(current.Username, '\\')+1:]
		env.home = current.HomeDir
	}
	if home, err := os.UserHomeDir(); err == nil {
		env.home = home
	}
	return env
}

// expand replaces the % tokens of ssh_config(5), section TOKENS.
func expand(value string, tokens map[byte]string) (string, error) {
	var built strings.Builder
	for at := 0; at < len(value); at++ {
		if value[at] != '%' {
			built.WriteByte(value[at])
			continue
		}
		at++
		if at == len(value) {
			return "", fmt.Errorf("%q ends with a %%; a plain one is written %%%%", value)
		}
		replacement, known := tokens[value[at]]
		switch {
		case value[at] == '%':
			built.WriteByte('%')
		case known:
			built.WriteString(replacement)
		default:
			return "", fmt.Errorf("%q has %%%c, which funnel does not know", value, value[at])
		}
	}
	return built.String(), nil
}

// expandPath replaces tokens, ${VARIABLE} and a leading ~ or ~user.
func (e environment) expandPath(path string, tokens map[byte]string) (string, error) {
	path, err := expand(path, tokens)
	if err != nil {
		return "", err
	}
	if path, err = expandVariables(path); err != nil {
		return "", err
	}
	return e.expandHome(path)
}

// expandVariables replaces ${NAME}; a $ without a brace is a letter, as in ssh.
func expandVariables(path string) (string, error) {
	var built strings.Builder
	for {
		before, rest, found := strings.Cut(path, "${")
		built.WriteString(before)
		if !found {
			return built.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		value, set := os.LookupEnv(name)
		if !closed || !set {
			return "", fmt.Errorf("%q names a variable that is not set", path)
		}
		built.WriteString(value)
		path = after
	}
}

func (e environment) expandHome(path string) (string, error) {
	if !strings.HasPrefix(path, "~") {
		return path, nil
	}
	end := strings.IndexFunc(path, func(c rune) bool { return c == '/' || c == filepath.Separator })
	if end < 0 {
		end = len(path)
	}
	home := e.home
	if name := path[1:end]; name != "" {
		other, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("find the home of %q: %w", name, err)
		}
		home = other.HomeDir
	}
	if home == "" {
		return "", fmt.Errorf("%q needs a home directory, and none is known", path)
	}
	return filepath.Join(home, path[end:]), nil
}
