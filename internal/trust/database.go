package trust

import (
	"bytes"
	"strings"

	"golang.org/x/crypto/ssh"

	"funnel/internal/wildcard"
)

// database is what the files and this run know of hosts.
type database []*line

// check decides on a key that the host has proved to own. It returns nil, or
// one of the package's errors; an [*UnknownError] is the only one that may be
// overcome.
//
// It follows OpenSSH: a certificate counts when an authority of the host's
// signed it, and is otherwise no more than the key in it; a host at a port of
// its own that no line names is also known by a line without port, but not refused
// because of one.
// Stricter than OpenSSH, a revoked key is refused whatever hosts its line names.
func (d database) check(at host, offered Offered, key ssh.PublicKey) error {
	plain, certificate := split(key)
	if revoked := d.revoked(plain, certificate); revoked != nil {
		return &RevokedError{Offered: offered, By: revoked.known()}
	}
	var authority *line
	var invalid error
	if certificate != nil {
		if authority = d.authority(at, certificate); authority != nil {
			if invalid = verify(at, certificate); invalid == nil {
				return nil
			}
		}
	}
	known := d.keys(at.name)
	if holds(known, plain) || len(known) == 0 && holds(d.keys(at.bare), plain) {
		return nil
	}
	switch {
	case invalid != nil:
		return &CertificateError{Offered: offered, Authority: authority.known(), Err: invalid}
	case len(known) > 0:
		changed := &ChangedError{Offered: offered}
		for _, l := range known {
			changed.Known = append(changed.Known, l.known())
		}
		return changed
	}
	return &UnknownError{Offered: offered}
}

// keys are the lines that give the host a plain key. An authority's key is none:
// it signs certificates and serves no host.
func (d database) keys(name string) []*line {
	return d.marked("", name)
}

func (d database) marked(marker, name string) (found []*line) {
	for _, l := range d {
		if l.marker == marker && l.hosts.match(name) {
			found = append(found, l)
		}
	}
	return found
}

// authorities are the lines that give the host a certificate authority.
func (d database) authorities(at host) []*line {
	found := d.marked(markerAuthority, at.name)
	if at.bare != at.name {
		found = append(found, d.marked(markerAuthority, at.bare)...)
	}
	return found
}

func (d database) authority(at host, certificate *ssh.Certificate) *line {
	for _, l := range d.authorities(at) {
		if sameKey(l.key, certificate.SignatureKey) {
			return l
		}
	}
	return nil
}

func (d database) revoked(plain ssh.PublicKey, certificate *ssh.Certificate) *line {
	for _, l := range d {
		if l.marker != markerRevoked {
			continue
		}
		if sameKey(l.key, plain) || certificate != nil && sameKey(l.key, certificate.SignatureKey) {
			return l
		}
	}
	return nil
}

// verify checks a certificate whose authority is trusted for the host.
func verify(at host, certificate *ssh.Certificate) error {
	if certificate.CertType != ssh.HostCert {
		return errNotHost
	}
	principal := at.bare
	for _, allowed := range certificate.ValidPrincipals {
		// OpenSSH lets a principal of a host be a pattern; the library compares
		// letters, so it is told the principal that fits.
		if wildcard.Match(strings.ToLower(allowed), at.bare) {
			principal = allowed
			break
		}
	}
	var checker ssh.CertChecker
	return checker.CheckCert(principal, certificate)
}

// split takes a certificate apart into the key it is for and itself.
func split(key ssh.PublicKey) (plain ssh.PublicKey, certificate *ssh.Certificate) {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key, certificate
	}
	return key, nil
}

func holds(lines []*line, key ssh.PublicKey) bool {
	for _, l := range lines {
		if sameKey(l.key, key) {
			return true
		}
	}
	return false
}

func sameKey(a, b ssh.PublicKey) bool {
	return bytes.Equal(a.Marshal(), b.Marshal())
}
