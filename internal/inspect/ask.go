package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The names of sockets are these around the number of the process.
const (
	prefix = "agent-"
	suffix = ".sock"
)

// Ask asks every program that runs with its state in directory, and returns their
// answers in the order of their sockets' names. Sockets of programs that have
// ended are removed. The error joins those of programs that run and didn't answer,
// or may not be asked, and that of a directory into which we may not look.
func Ask(ctx context.Context, directory string) ([]json.RawMessage, error) {
	var answers []json.RawMessage
	var failed []error
	paths, err := sockets(directory)
	if err != nil {
		failed = append(failed, err)
	}
	for _, path := range paths {
		answer, err := ask(ctx, path)
		switch {
		case err == nil:
			answers = append(answers, answer)
		case !gone(path, err):
			failed = append(failed, fmt.Errorf("ask at %s: %w", path, err))
		}
	}
	return answers, errors.Join(failed...)
}

// sockets is the paths of all sockets in a directory, sorted.
func sockets(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("look for sockets: %w", err)
	}
	if err != nil {
		return nil, nil // there is none
	}
	var paths []string
	for _, entry := range entries {
		if match, _ := filepath.Match(prefix+"*"+suffix, entry.Name()); match && !entry.IsDir() && !entry.Type().IsRegular() {
			paths = append(paths, filepath.Join(directory, entry.Name()))
		}
	}
	slices.Sort(paths)
	return paths, nil
}

// ask asks at one socket.
func ask(ctx context.Context, path string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := dial(ctx, path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if err != nil {
		return nil, err
	}
	if !json.Valid(text) {
		return nil, errors.New("the answer is not JSON")
	}
	return text, nil
}

func dial(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

// gone says whether err, of ask, means that nobody listens at path any more, and
// removes it then.
func gone(path string, err error) bool {
	if errors.Is(err, fs.ErrNotExist) {
		return true // since it was listed
	}
	if !refused(err) {
		return false
	}
	_ = os.Remove(path) // fails if it isn't ours to remove, and harms nobody then
	return true
}
