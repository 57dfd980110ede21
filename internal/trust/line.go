package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The two markers a line may begin with.
const (
	markerAuthority = "cert-authority"
	markerRevoked   = "revoked"
)

// errUnsupported says that a line is well formed but its key's type is not one
// of ours, such as DSA or a type newer than this program.
var errUnsupported = errors.New("key type not supported")

// line is one line of a known_hosts file.
type line struct {
	marker string // one of the two above, or empty
	hosts  pattern
	key    ssh.PublicKey
	path   string // empty for a key accepted in this run
	number int    // from 1
}

// parseLine reads one line without its end. It returns nil for a line that says
// nothing.
func parseLine(text []byte) (*line, error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] == '#' {
		return nil, nil
	}
	marker, hosts, key, _, _, err := ssh.ParseKnownHosts(text)
	if errors.Is(err, io.EOF) {
		return nil, errors.New("a line has hosts, a key type and a key")
	}
	if err != nil {
		if keyType := keyTypeOf(text); keyType != "" && !parsable(keyType) {
			return nil, fmt.Errorf("%w: %q", errUnsupported, keyType)
		}
		return nil, err
	}
	if marker != "" && marker != markerAuthority && marker != markerRevoked {
		return nil, fmt.Errorf("unknown marker @%s", marker)
	}
	if _, isCertificate := key.(*ssh.Certificate); isCertificate {
		return nil, errors.New("a certificate is no key of a host; its authority's key is, after @cert-authority")
	}
	hostPattern, err := parsePattern(hosts)
	if err != nil {
		return nil, err
	}
	return &line{marker: marker, hosts: hostPattern, key: key}, nil
}

// keyTypeOf is the field that names the key's type.
func keyTypeOf(text []byte) string {
	fields := strings.Fields(string(text))
	if len(fields) > 0 && strings.HasPrefix(fields[0], "@") {
		fields = fields[1:]
	}
	if len(fields) < 3 {
		return ""
	}
	return fields[1]
}

// parsable tells whether keys of the type can be read, so that a line with one
// that was not read is broken.
func parsable(keyType string) bool {
	return slices.Contains(ssh.SupportedAlgorithms().HostKeys, keyType) ||
		slices.Contains(ssh.SupportedAlgorithms().PublicKeyAuths, keyType) ||
		slices.Contains(ssh.InsecureAlgorithms().HostKeys, keyType)
}

// formatLine is the line that gives the host the key, without its end.
func formatLine(at host, key ssh.PublicKey) string {
	return at.name + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

func (l *line) known() Known {
	return Known{Path: l.path, Line: l.number, Type: l.key.Type(), Fingerprint: ssh.FingerprintSHA256(l.key)}
}
