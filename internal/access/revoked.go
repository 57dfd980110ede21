package access

import (
	"bytes"
	"crypto/sha1" // #nosec G505 -- KRLs name keys by it; a collision revokes too much, never too little
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// revocations are what a file of revoked keys says. They never change. Keys are
// in wire form, and those of certificates without the certificate.
type revocations struct {
	keys    map[string]bool
	sha1    map[string]bool
	sha256  map[string]bool
	issuers []issuer
}

// parseRevocations reads a KRL, or else a public key on each line. A line that
// isn't understood is an error: a revocation must not get lost.
func parseRevocations(data []byte) (*revocations, error) {
	if bytes.HasPrefix(data, []byte(krlMagic)) {
		return parseKRL(data)
	}
	r := &revocations{keys: make(map[string]bool)}
	for number, text := range numbered(data) {
		l, err := parseRevoked(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		r.keys[string(l.Marshal())] = true
	}
	return r, nil
}

// parseRevoked reads a line: a public key, however weak, or a certificate,
// whose key is meant.
func parseRevoked(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s is not a public key", quote(text))
	}
	return plainKey(key), nil
}

// plainKey takes the certificate off a key.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key
	}
	return key
}

// find is why a key is revoked, "" if it isn't. A certificate is also by its
// number or name, and with the key that signed it.
func (r *revocations) find(key ssh.PublicKey) string {
	if r == nil {
		return ""
	}
	if r.has(plainKey(key)) {
		return "the key itself is in the revoked keys"
	}
	certificate, ok := key.(*ssh.Certificate)
	if !ok {
		return ""
	}
	if r.has(certificate.SignatureKey) {
		return "the authority of its certificate is in the revoked keys"
	}
	authority := string(certificate.SignatureKey.Marshal())
	for _, i := range r.issuers {
		if i.authority != "" && i.authority != authority {
			continue
		}
		if reason := i.find(certificate); reason != "" {
			return reason
		}
	}
	return ""
}

func (r *revocations) has(key ssh.PublicKey) bool {
	blob := key.Marshal()
	if r.keys[string(blob)] {
		return true
	}
	if len(r.sha256) > 0 {
		if sum := sha256.Sum256(blob); r.sha256[string(sum[:])] {
			return true
		}
	}
	if len(r.sha1) > 0 {
		if sum := sha1.Sum(blob); r.sha1[string(sum[:])] { // #nosec G401 -- as above
			return true
		}
	}
	return false
}
