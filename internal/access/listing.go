package access

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Listed is one line of the authorized keys.
type Listed struct {
	Line        int // from 1
	Fingerprint string
	Kind        string // of the key: "ssh-ed25519"
	Name        string // its comment, made fit for a terminal; may be empty
	Options     string // in front of it, likewise
	Problem     string // why the line is skipped, else empty
}

// List returns the lines of the file at path that hold a key, also those that
// are skipped at login.
func List(path string) ([]Listed, error) {
	data, _, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authorized keys: %w", err)
	}
	var listed []Listed
	for number, text := range numbered(data) {
		listed = append(listed, describeLine(number, text))
	}
	return listed, nil
}

// CheckFile is nil if a relay relies on the file at path as it does on authorized
// keys, and else says why it lets nobody in.
func CheckFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return guarded(path, info)
}

func describeLine(number int, text string) Listed {
	entry := Listed{Line: number}
	l, err := parseLine(text)
	if l.key != nil {
		entry.Fingerprint, entry.Kind = ssh.FingerprintSHA256(l.key), l.key.Type()
		entry.Name, entry.Options = cleanName(l.comment), cleanName(l.options)
	}
	if err == nil {
		_, _, _, err = parseEntry(text)
	}
	if err != nil {
		entry.Problem = err.Error()
	}
	return entry
}

// ErrNotListed says that no line of the authorized keys is meant.
var ErrNotListed = errors.New("no such key is authorized")

// Remove takes the lines out of the authorized keys file at path that which
// means: a fingerprint, a public key, or a name that only one key has. All else
// in it stays as it is; like Append it replaces the file as a whole. It returns
// what it took out.
func Remove(path, which string) (removed []Listed, err error) {
	which = strings.TrimSpace(which)
	fingerprint := which
	if key, _, err := ParseKey(which); err == nil {
		fingerprint = ssh.FingerprintSHA256(key)
	}
	err = rewrite(path, func(data []byte) ([]byte, error) {
		chosen := make(map[int]bool)
		byName := make(map[string]bool) // fingerprints
		for number, text := range numbered(data) {
			l := describeLine(number, text)
			if l.Fingerprint == "" || l.Fingerprint != fingerprint && (l.Name != which || which == "") {
				continue
			}
			removed = append(removed, l)
			chosen[number] = true
			byName[l.Fingerprint] = true
		}
		switch {
		case len(removed) == 0:
			return nil, fmt.Errorf("%w: %s", ErrNotListed, quote(which))
		case len(byName) > 1:
			names := make([]string, 0, len(byName))
			for _, l := range removed {
				names = append(names, l.Fingerprint)
			}
			removed = nil
			return nil, severalNamed(which, names)
		}
		return withoutLines(data, chosen), nil
	})
	if err != nil {
		return nil, fmt.Errorf("revoke key: %w", err)
	}
	return removed, nil
}

func severalNamed(which string, fingerprints []string) error {
	return fmt.Errorf("several keys are named %s: name one by its fingerprint, %s", quote(which), list(fingerprints))
}

func withoutLines(data []byte, chosen map[int]bool) []byte {
	kept := make([]byte, 0, len(data))
	number := 0
	for line := range strings.Lines(string(data)) {
		if number++; !chosen[number] {
			kept = append(kept, line...)
		}
	}
	return kept
}

// AppendRevoked adds a key to the file of revoked keys at path, which must not
// be a KRL: ssh-keygen -k -u adds to those.
func AppendRevoked(path string, key ssh.PublicKey, comment string) error {
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(plainKey(key))))
	if name := cleanName(comment); name != "" {
		line += " " + name
	}
	err := rewrite(path, func(data []byte) ([]byte, error) {
		if strings.HasPrefix(string(data), krlMagic) {
			return nil, fmt.Errorf("file %s is a KRL: add the key with ssh-keygen -k -u -f %s", path, path)
		}
		if n := len(data); n > 0 && data[n-1] != '\n' {
			data = append(data, '\n')
		}
		return append(append(data, line...), '\n'), nil
	})
	if err != nil {
		return fmt.Errorf("revoke key: %w", err)
	}
	return nil
}
