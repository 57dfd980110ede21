package trust

import (
	"errors"
	"fmt"
	"strings"
)

// Known is a key that a known_hosts line has for a host.
type Known struct {
	// Path and Line say where; Path is empty for a key accepted in this run
	// that no file holds.
	Path string
	Line int
	// Type is the key's, such as "ssh-ed25519".
	Type string
	// Fingerprint is the key's, "SHA256:" and base64.
	Fingerprint string
}

func (k Known) String() string {
	where := "accepted earlier in this run"
	if k.Path != "" {
		where = fmt.Sprintf("%s:%d", k.Path, k.Line)
	}
	return fmt.Sprintf("%s %s (%s)", k.Type, k.Fingerprint, where)
}

// Offered is what a host has shown. It is part of each error of this package,
// none of which a retry can mend.
type Offered struct {
	// Host is the host and port that were dialled.
	Host string
	// Type and Fingerprint are those of the host's key, or of the key its
	// certificate is for.
	Type, Fingerprint string
}

// UnknownError says that no file knows the host and nobody accepted its key.
type UnknownError struct {
	Offered
	// Declined is set when the user said no.
	Declined bool
	// Err is why the user could not be asked; it may be nil.
	Err error
}

func (e *UnknownError) Error() string {
	if e.Declined {
		return fmt.Sprintf("host key of %s was declined: %s %s", e.Host, e.Type, e.Fingerprint)
	}
	reason := ""
	if e.Err != nil {
		reason = fmt.Sprintf(" and you cannot be asked (%v)", e.Err)
	}
	return fmt.Sprintf("host key of %s is not known%s: %s %s; compare the fingerprint with the relay's, "+
		"then connect with --host-key %s, or with --accept-new to take it unseen",
		e.Host, reason, e.Type, e.Fingerprint, e.Fingerprint)
}

// Unwrap returns why the user could not be asked.
func (e *UnknownError) Unwrap() error { return e.Err }

// ChangedError says that the host is known by other keys than it has shown.
type ChangedError struct {
	Offered
	// Known are the keys it should have, at least one.
	Known []Known
}

func (e *ChangedError) Error() string {
	known := make([]string, len(e.Known))
	for n, key := range e.Known {
		known[n] = key.String()
	}
	return fmt.Sprintf("host key of %s has CHANGED: known is %s, offered was %s %s; "+
		"somebody may be in between; if the relay did get a new key, delete the known line and connect again",
		e.Host, strings.Join(known, ", "), e.Type, e.Fingerprint)
}

// PinError says that the host has shown a key other than those pinned.
type PinError struct {
	Offered
	// Pinned are the fingerprints that would do.
	Pinned []string
}

func (e *PinError) Error() string {
	return fmt.Sprintf("host key of %s is not the one of --host-key: wanted %s, offered was %s %s",
		e.Host, strings.Join(e.Pinned, " or "), e.Type, e.Fingerprint)
}

// RevokedError says that a file forbids the key, or the authority that
// certified it.
type RevokedError struct {
	Offered
	// By is the line with @revoked.
	By Known
}

func (e *RevokedError) Error() string {
	return fmt.Sprintf("host key of %s is revoked by %s:%d: offered was %s %s",
		e.Host, e.By.Path, e.By.Line, e.Type, e.Fingerprint)
}

// CertificateError says that the right authority signed the host's certificate
// but that it does not hold, as when it is expired or for another name.
type CertificateError struct {
	Offered
	// Authority is the line with @cert-authority.
	Authority Known
	// Err is what is wrong.
	Err error
}

func (e *CertificateError) Error() string {
	return fmt.Sprintf("certificate of %s, by the authority of %s:%d, does not hold: %v; offered was %s %s",
		e.Host, e.Authority.Path, e.Authority.Line, e.Err, e.Type, e.Fingerprint)
}

// errNotHost says that a certificate is a user's.
var errNotHost = errors.New("it is not for a host")

// Unwrap returns what is wrong with the certificate.
func (e *CertificateError) Unwrap() error { return e.Err }
