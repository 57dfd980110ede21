package access

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Replace is Append for a key that may be there already: its line is written anew
// and says what Append's would, and nothing of what it said before, which is
// returned. It is found also where the line is skipped at login. Without such a
// line the key is added, and before is empty.
//
// A key of several lines is refused, for they may differ in more than ports, and so
// is an authority, which the line would no longer be.
func Replace(path string, key ssh.PublicKey, comment string, permits []Permit) (before Listed, err error) {
	line, err := formatLine(key, comment, permits)
	if err != nil {
		return Listed{}, fmt.Errorf("authorize key: %w", err)
	}
	err = rewrite(path, func(data []byte) ([]byte, error) {
		number, text, err := lineOf(data, key)
		switch {
		case err != nil:
			return nil, fmt.Errorf("file %s: %w", path, err)
		case number == 0:
			return withLine(data, line, path)
		}
		before = describeLine(number, text)
		return bounded(withLineReplaced(data, number, line), path)
	})
	if err != nil {
		return Listed{}, fmt.Errorf("authorize key: %w", err)
	}
	return before, nil
}

// lineOf is the one line that lets a key in, and its number; 0 if there is none.
func lineOf(data []byte, key ssh.PublicKey) (number int, text string, err error) {
	number, text = findKey(data, key)
	if number == 0 {
		return 0, "", nil
	}
	if again, _ := findKey(withoutLines(data, map[int]bool{number: true}), key); again > 0 {
		return 0, "", fmt.Errorf("line %d is not the only one about the key: take all but one of them out", number)
	}
	l, _ := parseLine(text)
	if options, _, err := parseOptions(l.options); err == nil && options.authority {
		return 0, "", fmt.Errorf("line %d is about those whom the key certifies (cert-authority): change it there", number)
	}
	return number, text, nil
}

// withLine is data with a line at its end.
func withLine(data []byte, line, path string) ([]byte, error) {
	if n := len(data); n > 0 && data[n-1] != '\n' {
		data = append(data, '\n')
	}
	return bounded(append(append(data, line...), '\n'), path)
}

// bounded is data if the relay would read as much.
func bounded(data []byte, path string) ([]byte, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("file %s would be larger than %d bytes: take keys out of it", path, maxFile)
	}
	return data, nil
}

// withLineReplaced is data with another line in place of one, which ends as that
// one did.
func withLineReplaced(data []byte, number int, line string) []byte {
	replaced := make([]byte, 0, len(data)+len(line))
	at := 0
	for old := range strings.Lines(string(data)) {
		if at++; at == number {
			old = line + old[len(strings.TrimRight(old, "\r\n")):]
		}
		replaced = append(replaced, old...)
	}
	return replaced
}

// Lookup is the key that a fingerprint means or a name that only one key has, and
// its comment, in the authorized keys file at path.
func Lookup(path, which string) (key ssh.PublicKey, comment string, err error) {
	data, _, err := readFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("read authorized keys: %w", err)
	}
	which = strings.TrimSpace(which)
	var found []string // fingerprints
	for _, text := range numbered(data) {
		l, _ := parseLine(text)
		if l.key == nil || which == "" {
			continue
		}
		fingerprint := ssh.FingerprintSHA256(l.key)
		if fingerprint != which && cleanName(l.comment) != which {
			continue
		}
		if !slices.Contains(found, fingerprint) {
			found = append(found, fingerprint)
		}
		key, comment = l.key, l.comment
	}
	switch len(found) {
	case 0:
		return nil, "", fmt.Errorf("%w: %s", ErrNotListed, quote(which))
	case 1:
		return key, comment, nil
	}
	return nil, "", severalNamed(which, found)
}
