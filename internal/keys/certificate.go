package keys

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// certificateFile is the certificate that OpenSSH's habit puts beside a private
// key: FILE-cert.pub. There need not be one.
type certificateFile struct {
	path string
	key  ssh.PublicKey // the key it has to certify

	mu     sync.Mutex
	loaded *ssh.Certificate
}

// current returns the certificate, or nil when there is none. The file is read
// again only when the one at hand has expired: short-lived certificates are
// renewed while the program runs.
func (c *certificateFile) current(now time.Time) (*ssh.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded != nil && unexpired(c.loaded, now) {
		return c.loaded, nil
	}
	key, err := readPublicLine(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", c.path, err)
	}
	certificate, ok := key.(*ssh.Certificate)
	switch {
	case !ok || certificate.CertType != ssh.UserCert:
		return nil, fmt.Errorf("read certificate %s: it is no user certificate", c.path)
	case !sameKey(certificate.Key, c.key):
		return nil, fmt.Errorf("read certificate %s: it certifies another key", c.path)
	case !unexpired(certificate, now):
		return nil, fmt.Errorf("read certificate %s: it expired on %s",
			c.path, time.Unix(int64(certificate.ValidBefore), 0).Format(time.DateTime)) // #nosec G115 -- in the past
	}
	c.loaded = certificate
	return certificate, nil
}

// unexpired tells whether the server may still take the certificate by our clock.
func unexpired(certificate *ssh.Certificate, now time.Time) bool {
	return certificate.ValidBefore == ssh.CertTimeInfinity || uint64(now.Unix()) < certificate.ValidBefore // #nosec G115 -- after 1970
}
