// Package instance tells agents apart: which one it is, and which of the times
// that it was started. A relay that knows lets an agent that was started anew have
// what an earlier one left, and nobody else.
package instance

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// IDSize is the length in bytes of an ID.
const IDSize = 16

// ID is drawn at random.
type ID [IDSize]byte

// Instance is an agent since it was started.
type Instance struct {
	Agent      ID     // the same whenever the agent of a state directory runs
	Generation uint64 // higher each time it is started
	Run        ID     // of this time alone
}

// fileName is the file in the state directory: the agent's ID in hexadecimal, a
// blank, the last generation, and a newline.
const fileName = "agent-id"

// Next is the instance of an agent that starts now, with its state in directory,
// which is made if it isn't there. If that can't be read or written the instance
// is that of an agent never seen before, and the error says why.
//
// Two agents that start in the same directory at the same time may get the same
// generation; then neither has precedence over the other.
func Next(directory string) (Instance, error) {
	var next Instance
	rand.Read(next.Run[:]) // never fails, see crypto/rand
	rand.Read(next.Agent[:])
	if directory == "" {
		return next, errors.New("there is no state directory: name one with --state-dir")
	}
	path := filepath.Join(directory, fileName)
	content, err := os.ReadFile(path) // #nosec G304 -- the user's own state directory
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return next, fmt.Errorf("read the agent's ID: %w", err)
	default:
		if next.Agent, next.Generation, err = parse(content); err != nil {
			rand.Read(next.Agent[:])
			return next, fmt.Errorf("read the agent's ID in %s: %w; remove the file to get a new one", path, err)
		}
	}
	next.Generation++
	if err := write(path, fmt.Appendf(nil, "%x %d\n", next.Agent, next.Generation)); err != nil {
		rand.Read(next.Agent[:]) // a generation that isn't noted would come twice
		return next, fmt.Errorf("write the agent's ID: %w", err)
	}
	return next, nil
}

func parse(content []byte) (id ID, generation uint64, err error) {
	before, after, _ := bytes.Cut(bytes.TrimSuffix(content, []byte("\n")), []byte(" "))
	if len(before) != 2*IDSize {
		return ID{}, 0, fmt.Errorf("it doesn't begin with %d hexadecimal digits", 2*IDSize)
	}
	if _, err := hex.Decode(id[:], before); err != nil {
		return ID{}, 0, err
	}
	generation, err = strconv.ParseUint(string(after), 10, 63)
	if err != nil {
		return ID{}, 0, fmt.Errorf("the generation is not a number: %q", after)
	}
	return id, generation, nil
}

// write replaces the file: whoever reads it finds the old one or the new one.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+fileName+"-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // fails when all went well
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
