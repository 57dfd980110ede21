package access

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// keyExample is what a public key looks like, in errors.
const keyExample = "want a line as in ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA... name"

// ParseKey reads one public key as a person pastes it: the line of a .pub file.
// The comment is made fit for a log; it is "" if there is none. An error says
// what the text seems to be instead and what to do; it never repeats a private
// key.
func ParseKey(text string) (key ssh.PublicKey, comment string, err error) {
	if key, comment, err = parseKey(text); err != nil {
		return nil, "", fmt.Errorf("read public key: %w", err)
	}
	return key, comment, nil
}

func parseKey(text string) (ssh.PublicKey, string, error) {
	text = strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
	if err := mistaken(text); err != nil {
		return nil, "", err
	}
	var lines []string
	for _, one := range numbered([]byte(text)) {
		lines = append(lines, one)
	}
	switch {
	case len(lines) == 0:
		return nil, "", errors.New("it is empty: " + keyExample)
	case len(lines) > 1:
		return nil, "", manyLines(lines)
	}
	only := lines[0]
	first, rest := cutField(only)
	if !isKeyType(first) {
		return nil, "", noKeyType(only, first)
	}
	encoded, comment := cutField(rest)
	key, err := decodeKey(first, encoded)
	if err != nil {
		return nil, "", err
	}
	return key, cleanName(comment), nil
}

// mistaken recognises what people paste instead of a public key.
func mistaken(text string) error {
	head := strings.ToUpper(text[:min(len(text), 4096)])
	switch {
	case strings.Contains(head, "PRIVATE KEY") || strings.HasPrefix(text, "PuTTY-User-Key-File"):
		return errors.New("this is a private key: keep it secret, and give the public one, in the file of the same name ending in .pub")
	case strings.Contains(head, "BEGIN SSH2 PUBLIC KEY"):
		return errors.New("it is in the format of RFC 4716: convert it with ssh-keygen -i -f FILE")
	case strings.Contains(head, "BEGIN PUBLIC KEY"):
		return errors.New("it is in PEM format: convert it with ssh-keygen -i -m PKCS8 -f FILE")
	case strings.Contains(head, "-----BEGIN"):
		return errors.New("it is a PEM file of another kind: " + keyExample)
	case strings.HasPrefix(head, "SHA256:") || strings.HasPrefix(head, "MD5:"):
		return errors.New("it is the fingerprint of a key: give the key itself, " + keyExample)
	}
	return nil
}

// manyLines tells a key that was wrapped from several keys.
func manyLines(lines []string) error {
	for _, one := range lines[1:] {
		if _, err := parseLine(one); err != nil {
			return errors.New("it is spread over several lines: join them to one without spaces in the key")
		}
	}
	return fmt.Errorf("there are %d keys: authorize one at a time", len(lines))
}

// noKeyType is about a line that starts with something else than a key's type.
func noKeyType(text, first string) error {
	if l, err := parseLine(text); err == nil && l.key != nil {
		return errors.New("options stand in front of the key: leave them out and name ports with --permit instead, or add the line to the file by hand")
	}
	switch {
	case strings.HasPrefix(first, "AAAA"):
		return errors.New("the key's type is missing in front of it: " + keyExample)
	case looksLikePath(text):
		return fmt.Errorf("%s looks like the name of a file: give its content on standard input, with - < %s", quote(text), text)
	}
	return fmt.Errorf("%s is not a key type: %s", quote(first), keyExample)
}

// looksLikePath says whether a text of one line is rather a file's name.
func looksLikePath(text string) bool {
	if len(text) > maxQuote || cleanName(text) != text {
		return false
	}
	return strings.ContainsAny(text, `/\`) || strings.HasPrefix(text, "~") || strings.HasPrefix(text, "id_") || strings.HasSuffix(text, ".pub")
}
