package trust

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- hashed names of known_hosts are made with it (ssh-keygen -H)
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"funnel/internal/wildcard"
)

// pattern tells which hosts a line is about. Names are as [hostName] makes them.
type pattern interface {
	match(name string) bool
}

// parsePattern reads the first field of a line, see sshd(8), "SSH_KNOWN_HOSTS
// FILE FORMAT".
func parsePattern(hosts []string) (pattern, error) {
	if len(hosts) > 0 && strings.HasPrefix(hosts[0], "|") {
		if len(hosts) > 1 {
			return nil, errors.New("a hashed host stands alone")
		}
		return parseHashed(hosts[0])
	}
	var list patternList
	for _, host := range hosts {
		negated := strings.HasPrefix(host, "!")
		text := strings.ToLower(strings.TrimPrefix(host, "!"))
		if text == "" && negated {
			return nil, errors.New("nothing follows the ! of a host pattern")
		}
		if text != "" {
			list = append(list, hostPattern{text, negated})
		}
	}
	if len(list) == 0 {
		return nil, errors.New("no host pattern")
	}
	return list, nil
}

// patternList matches when one of its patterns does and no negated one.
type patternList []hostPattern

type hostPattern struct {
	text    string
	negated bool
}

func (l patternList) match(name string) bool {
	matched := false
	for _, p := range l {
		if !wildcard.Match(p.text, name) {
			continue
		}
		if p.negated {
			return false
		}
		matched = true
	}
	return matched
}

// hashed hides a host's name: HMAC-SHA1 of it under a salt of the line's own.
type hashed struct {
	salt, sum []byte
}

// parseHashed reads "|1|salt|sum", both in base64; 1 is the only kind there is.
func parseHashed(text string) (pattern, error) {
	parts := strings.Split(text, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return nil, errors.New("a hashed host has the form |1|salt|hash")
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return nil, fmt.Errorf("read the salt of a hashed host: %w", err)
	}
	sum, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return nil, fmt.Errorf("read a hashed host: %w", err)
	}
	if len(sum) != sha1.Size {
		return nil, fmt.Errorf("a hashed host has %d bytes, not %d", sha1.Size, len(sum))
	}
	return hashed{salt, sum}, nil
}

func (h hashed) match(name string) bool {
	mac := hmac.New(sha1.New, h.salt)
	mac.Write([]byte(name))
	return bytes.Equal(mac.Sum(nil), h.sum)
}
