package session

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/proto"
)

// A certificate's end leaves the session to its grace; that of its authority
// doesn't.
func TestSessionOutlivesACertificate(t *testing.T) {
	newSigner := func() ssh.Signer {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		require.NoError(t, err)
		signer, err := ssh.NewSignerFromKey(private)
		require.NoError(t, err)
		return signer
	}
	authority, agentKey, now := newSigner(), newSigner(), time.Now()
	certificate := &ssh.Certificate{
		Key: agentKey.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"tunnel"},
		ValidBefore: uint64(now.Add(time.Hour).Unix()),
		Permissions: ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}},
	}
	require.NoError(t, certificate.SignCert(rand.Reader, authority))
	directory := t.TempDir()
	trusted := filepath.Join(directory, "authorities")
	require.NoError(t, os.WriteFile(trusted, ssh.MarshalAuthorizedKey(authority.PublicKey()), 0o600))
	policy, err := access.ParsePolicy(nil, nil)
	require.NoError(t, err)
	keys := access.NewKeys(filepath.Join(directory, "keys"), policy, nil)
	keys.TrustAuthorities(trusted, nil)
	grant, err := keys.Authorize("tunnel", certificate, netip.MustParseAddr("192.0.2.1"), now)
	require.NoError(t, err)
	peer := key("a")
	peer.Lease = keys.Lease(grant)

	d := newDesk(t, Config{})
	a := d.join(peer, proto.Token{})
	public := a.bind(1, 0)
	review := func() { d.Review(keys.Version(), now.Add(2*time.Hour), false) }
	review()
	a.leave()
	review()
	b := d.join(peer, a.token)
	require.Equal(t, public, b.bind(1, 0))

	require.NoError(t, os.Remove(trusted))
	review()
	review() // it is gone for good
	require.Equal(t, proto.CodeDenied, b.message().(proto.Close).Code)
	require.True(t, free(public))
}
