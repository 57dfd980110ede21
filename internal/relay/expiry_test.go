package relay

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// certifying is a testbed that trusts an authority.
type certifying struct {
	*testbed
	authority ssh.Signer
	trusted   string // file of authorities
}

func startCertifying(t testing.TB, change ...func(*Config)) *certifying {
	s := &certifying{authority: newKey(t), trusted: filepath.Join(t.TempDir(), "authorities")}
	s.trust(t, ssh.MarshalAuthorizedKey(s.authority.PublicKey()))
	s.testbed = startRelay(t, append(change, func(c *Config) { c.Keys.TrustAuthorities(s.trusted, nil) })...)
	return s
}

// trust replaces the file of authorities.
func (s *certifying) trust(t testing.TB, text []byte) {
	require.NoError(t, os.WriteFile(s.trusted+".next", text, 0o600))
	require.NoError(t, os.Rename(s.trusted+".next", s.trusted))
}

// certify makes a certificate of a key that is valid for so long.
func (s *certifying) certify(key ssh.Signer, lasts time.Duration) ssh.Signer {
	certificate := &ssh.Certificate{
		Key: key.PublicKey(), CertType: ssh.UserCert, KeyId: "nas", ValidPrincipals: []string{"tunnel"},
		ValidBefore: uint64(time.Now().Add(lasts).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}},
	}
	require.NoError(s.t, certificate.SignCert(rand.Reader, s.authority))
	signer, err := ssh.NewCertSigner(certificate, key)
	require.NoError(s.t, err)
	return signer
}

// later looks at the files as the relay does at that time from now.
func (s *certifying) later(d time.Duration) { s.relay.renew(time.Now().Add(d)) }

// The plain key, which a client shows after its certificate, is no reason.
func TestRefusedCertificateIsTold(t *testing.T) {
	s := startCertifying(t)
	key := newKey(t)
	config := s.clientConfig(s.certify(key, time.Hour), key)
	config.User = "somebody" // and not tunnel
	_, err := ssh.Dial("tcp", s.address, config)
	require.ErrorContains(t, err, "unable to authenticate")
	s.requireLogged(`msg="login refused"`)
	require.Regexp(t, `user=somebody fingerprint=`+regexp.QuoteMeta(ssh.FingerprintSHA256(key.PublicKey()))+` cause="certificate .*somebody`, s.logged.String())
}

// A certificate's end is that of the link; what the agent has waits for it to come
// with the next one.
func TestPortsOutliveACertificate(t *testing.T) {
	s := startCertifying(t)
	key := newKey(t)
	first, _ := s.join(s.certify(key, time.Hour), who("a", 1))
	port := forward(t, first, "127.0.0.1", 0)
	p := s.presenceOf(first)
	s.later(2 * time.Hour)
	require.Error(t, first.Wait())
	s.requireLogged(`level=INFO msg="certificate expired"`)
	require.Eventually(t, func() bool { return p.currentLink() == nil }, patience, time.Millisecond)
	s.requireLogged(`msg="agent is away" key=nas bindings=1 conns=0 grace=1m0s cause="the certificate expired: `)

	waits := connect(t, "127.0.0.1", port)
	s.requireWaiting(1)
	s.later(2 * time.Hour)
	second, known := s.join(s.certify(key, 24*time.Hour), who("a", 1))
	require.True(t, known)
	serveEach(t, second, echo)
	forward(t, second, "127.0.0.1", port)
	requireEcho(t, waits, "waited")
	s.later(2 * time.Hour)
	requireEcho(t, waits, "and goes on")
	require.NotContains(t, s.logged.String(), errRevoked.Error())
	s.requireNothingLeft()
}

// Who doesn't come back has had its time, as without a certificate.
func TestPortsOutliveACertificateForTheGrace(t *testing.T) {
	s := startCertifying(t, func(c *Config) { c.Grace = 300 * time.Millisecond })
	client, _ := s.join(s.certify(newKey(t), time.Hour), who("a", 1))
	port := forward(t, client, "127.0.0.1", 0)
	stock := s.dialWith(s.clientConfig(s.certify(newKey(t), time.Hour)))
	another := forward(t, stock, "127.0.0.1", 0)
	s.later(2 * time.Hour)
	require.Eventually(t, func() bool { return !accepts(another) }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return !accepts(port) }, patience, time.Millisecond)
	s.requireNothingLeft()
}

// A certificate that has expired and isn't trusted any more is revoked.
func TestPortsDoNotOutliveTheAuthority(t *testing.T) {
	s := startCertifying(t)
	client, _ := s.join(s.certify(newKey(t), time.Hour), who("a", 1))
	port := forward(t, client, "127.0.0.1", 0)
	s.later(2 * time.Hour)
	s.requireLogged("agent is away")
	s.trust(t, nil)
	require.Eventually(t, func() bool {
		s.later(2 * time.Hour)
		return !accepts(port)
	}, patience, 10*time.Millisecond)
	require.True(t, strings.Contains(s.logged.String(), `msg="certificate expired"`))
	s.requireNothingLeft()
}
