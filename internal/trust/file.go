package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// problem is a line that could not be read.
type problem struct {
	path   string
	number int
	err    error
}

func (p problem) String() string { return fmt.Sprintf("%s:%d", p.path, p.number) }

// readFile reads a known_hosts file; one that is not there is empty. Lines that
// cannot be read cost only themselves.
func readFile(path string) ([]*line, []problem, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read known hosts: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read known hosts: %w", err)
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("read known hosts %s: more than %d bytes", path, maxFile)
	}
	lines, problems := parseLines(path, text)
	return lines, problems, nil
}

func parseLines(path string, text []byte) (lines []*line, problems []problem) {
	number := 0
	for row := range bytes.Lines(text) {
		number++
		parsed, err := parseLine(row)
		switch {
		case err != nil:
			problems = append(problems, problem{path, number, err})
		case parsed != nil:
			parsed.path, parsed.number = path, number
			lines = append(lines, parsed)
		}
	}
	return lines, problems
}

// appendLine adds a line to a known_hosts file, which is made if need be. It is
// one write at the end of the file, so that programs that do so at once do not
// mix their lines.
func appendLine(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), directoryMode); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, fileMode)
	if err != nil {
		return err
	}
	text += "\n"
	if cut, err := endsWithinLine(file); err != nil {
		file.Close()
		return err
	} else if cut {
		text = "\n" + text
	}
	_, err = io.WriteString(file, text)
	return errors.Join(err, file.Close())
}

// endsWithinLine tells whether the last line has no end, as some editors leave it.
func endsWithinLine(file *os.File) (bool, error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	if _, err := file.ReadAt(last, info.Size()-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}
