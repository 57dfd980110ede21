package access

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// ErrAlreadyAuthorized says that a key is in the authorized keys already.
var ErrAlreadyAuthorized = errors.New("the key is authorized already")

// Append adds a key to the authorized keys file at path and returns the line
// written. Without permits the key may bind whatever the operator allows. The
// comment becomes the key's name, made fit for a log; it may be empty.
//
// The file is made with mode 0600, and its directory with 0700, if it isn't
// there. All else in it stays as it is, also what can't be understood. It is
// replaced as a whole, with its mode and owner kept and symbolic links
// followed, so it is never seen half written; several calls at once wait for
// each other.
//
// If the key is there already the error is ErrAlreadyAuthorized and names the
// line, which is returned, and added is false. It is false on any error.
func Append(path string, key ssh.PublicKey, comment string, permits []Permit) (line string, added bool, err error) {
	if line, err = formatLine(key, comment, permits); err != nil {
		return "", false, fmt.Errorf("authorize key: %w", err)
	}
	found := ""
	err = rewrite(path, func(data []byte) ([]byte, error) {
		if number, text := findKey(data, key); number > 0 {
			found = text
			return nil, alreadyThere(path, number, text)
		}
		return withLine(data, line, path)
	})
	if err != nil {
		return found, false, fmt.Errorf("authorize key: %w", err)
	}
	return line, true, nil
}

// formatLine writes a key's line. What a stock sshd would grant besides, should
// it read the file too, is restricted: the line is about ports alone.
func formatLine(key ssh.PublicKey, comment string, permits []Permit) (string, error) {
	options := []string{"restrict", "port-forwarding"}
	for _, permit := range permits {
		options = append(options, permit.options()...)
	}
	text := strings.Join(options, ",") + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	if name := cleanName(comment); name != "" {
		text += " " + name
	}
	// A line that would be skipped at the next login must not be written.
	if _, _, _, err := parseEntry(text); err != nil {
		return "", err
	}
	return text, nil
}

// findKey looks for a key among the lines, also those that are skipped at
// login, and returns the number of its line or 0.
func findKey(data []byte, key ssh.PublicKey) (number int, text string) {
	blob := string(key.Marshal())
	for number, text := range numbered(data) {
		if l, _ := parseLine(text); l.key != nil && string(l.key.Marshal()) == blob {
			return number, text
		}
	}
	return 0, ""
}

func alreadyThere(path string, number int, text string) error {
	remedy := "--replace writes that line anew, keys revoke takes it out"
	if _, _, _, err := parseEntry(text); err != nil {
		remedy = fmt.Sprintf("but that line is skipped, because %v; mend it or take it out", err)
	}
	return fmt.Errorf("%w in line %d of %s: %s", ErrAlreadyAuthorized, number, path, remedy)
}
