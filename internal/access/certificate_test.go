package access

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// authority signs certificates in tests.
type authority struct{ ssh.Signer }

func newAuthority(t testing.TB) authority {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return authority{signer}
}

// certify makes a certificate of the key with number 1, for alice and valid at
// noon, after change has changed it.
func (a authority) certify(t testing.TB, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key:             testKey(t, 1),
		Serial:          7,
		CertType:        ssh.UserCert,
		KeyId:           "alice's laptop",
		ValidPrincipals: []string{"alice", "tunnel"},
		ValidAfter:      uint64(noon.Add(-time.Hour).Unix()),
		ValidBefore:     uint64(noon.Add(time.Hour).Unix()),
		Permissions:     ssh.Permissions{Extensions: map[string]string{"permit-port-forwarding": ""}},
	}
	if change != nil {
		change(c)
	}
	require.NoError(t, c.SignCert(rand.Reader, a))
	return c
}

// trusting is Keys with files as given; an empty text is no file.
func trusting(t testing.TB, authorized, authorities, revoked string, principals ...string) *Keys {
	t.Helper()
	directory := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(directory, name)
		if text != "" {
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		}
		return path
	}
	keys := NewKeys(write("authorized_keys", authorized), mustPolicy(t, "*"), nil)
	keys.TrustAuthorities(write("user_ca", authorities), principals)
	if revoked != "" {
		keys.Revoke(write("revoked", revoked))
	}
	return keys
}

func TestCertificates(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	trusted := keyText(ca.PublicKey())
	for name, test := range map[string]struct {
		change                       func(*ssh.Certificate)
		signer                       *authority
		authorized, trusted, revoked string
		principals                   []string
		user, says                   string // says: "" lets it in
	}{
		"valid":                  {trusted: trusted},
		"for another user":       {trusted: trusted, user: "bob", says: `its principals "alice", "tunnel" do not include "bob"`},
		"for a principal":        {trusted: trusted, user: "bob", principals: []string{"game", "tunnel"}},
		"for no principal":       {trusted: trusted, user: "alice", principals: []string{"game"}, says: `do not include "game"`},
		"for nobody":             {trusted: trusted, change: func(c *ssh.Certificate) { c.ValidPrincipals = nil }, says: "names no principals"},
		"expired":                {trusted: trusted, change: func(c *ssh.Certificate) { c.ValidBefore = uint64(noon.Unix()) }, says: "it expired at 2026-11-23T12:00:00Z"},
		"not yet valid":          {trusted: trusted, change: func(c *ssh.Certificate) { c.ValidAfter = uint64(noon.Unix()) + 1 }, says: "it is not valid before 2026-11-23T12:00:01Z"},
		"for ever":               {trusted: trusted, change: func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, ssh.CertTimeInfinity }},
		"of another authority":   {trusted: trusted, signer: &other, says: "in neither the user CA keys nor a cert-authority line"},
		"of a host":              {trusted: trusted, change: func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, says: "it is a host certificate"},
		"from its source":        {trusted: trusted, change: critical("source-address", "192.0.2.0/24,203.0.113.9")},
		"from another source":    {trusted: trusted, change: critical("source-address", "192.0.2.0/24"), says: `it may not be used from 203.0.113.9 but from "192.0.2.0/24"`},
		"from a broken source":   {trusted: trusted, change: critical("source-address", "home"), says: "is not a list of addresses"},
		"with a command":         {trusted: trusted, change: critical("force-command", "date"), says: "demands force-command and the relay runs no commands"},
		"with verify-required":   {trusted: trusted, change: critical("verify-required", ""), says: "verify-required, which is not supported yet"},
		"with something unknown": {trusted: trusted, change: critical("x@y", ""), says: `demands "x@y", which is not known`},
		"of a line":              {authorized: "cert-authority " + trusted},
		"of a line for bob":      {authorized: `cert-authority,principals="bob" ` + trusted, says: `do not include "bob"`},
		"of a line for alice":    {authorized: `cert-authority,principals="bob,alice" ` + trusted, user: "root"},
		"of a line for anybody":  {authorized: "cert-authority " + trusted, change: func(c *ssh.Certificate) { c.ValidPrincipals = nil }},
		"of a line without it":   {authorized: trusted, says: "in neither"},
		"of a line from there":   {authorized: `cert-authority,from="192.0.2.1" ` + trusted, says: "may not log in from 203.0.113.9"},
		"of a line that expired": {authorized: `cert-authority,expiry-time="20261123Z" ` + trusted, says: "it expired at 2026-11-23T00:00:00Z"},
		"with a revoked key":     {trusted: trusted, revoked: keyText(testKey(t, 1)), says: "the key itself is in the revoked keys"},
		"of a revoked authority": {trusted: trusted, revoked: trusted, says: "the authority of its certificate is in the revoked keys"},
		"beside a revoked key":   {trusted: trusted, revoked: "# others\n" + keyText(testKey(t, 2)) + " x"},
		"with a broken list":     {trusted: trusted, revoked: "nonsense", says: "read revoked keys: file"},
		"with a changed name": {trusted: trusted, signer: &other, change: func(c *ssh.Certificate) {
			c.KeyId = "" // see below
		}, says: "its signature does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			signer := ca
			if test.signer != nil {
				signer = *test.signer
			}
			c := signer.certify(t, test.change)
			if name == "with a changed name" {
				c.SignatureKey = ca.PublicKey() // signed by other
			}
			user := test.user
			if user == "" {
				user = "tunnel"
			}
			keys := trusting(t, test.authorized, test.trusted, test.revoked, test.principals...)
			grant, err := keys.Authorize(user, c, remote, noon)
			if test.says != "" {
				require.ErrorContains(t, err, test.says)
				require.Nil(t, grant)
				return
			}
			require.NoError(t, err)
			require.Equal(t, ssh.FingerprintSHA256(testKey(t, 1)), grant.Fingerprint)
			require.Equal(t, ssh.FingerprintSHA256(ca.PublicKey()), grant.Authority)
			require.Equal(t, "alice's laptop", grant.Name)
			require.EqualValues(t, 7, grant.Serial)
			require.NoError(t, grant.MayBind("tcp", "", 25565))
		})
	}
}

// A list of revoked keys that is gone must not let in who is on it.
func TestMissingRevokedKeysLetNobodyIn(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1)))
	f.keys.Revoke(f.path + ".revoked")
	_, err := f.authorize(1)
	require.ErrorContains(t, err, "read revoked keys: ")
	require.NoError(t, os.WriteFile(f.path+".revoked", nil, 0o600))
	_, err = f.authorize(1)
	require.NoError(t, err)
}

func critical(name, value string) func(*ssh.Certificate) {
	return func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{name: value} }
}

// What a certificate permits holds within what the line of its authority does.
func TestCertificateAndItsLineBothMustPermit(t *testing.T) {
	ca := newAuthority(t)
	line := `cert-authority,permitlisten="25565",max-flows="3" ` + keyText(ca.PublicKey())
	grant, err := trusting(t, line, "", "").Authorize("tunnel", ca.certify(t, nil), remote, noon)
	require.NoError(t, err)
	require.NoError(t, grant.MayBind("tcp", "", 25565))
	require.Error(t, grant.MayBind("tcp", "", 25566))
	require.Equal(t, Limits{Flows: 3}, grant.Limits)

	bare := ca.certify(t, func(c *ssh.Certificate) { c.Extensions = nil })
	grant, err = trusting(t, line, "", "").Authorize("tunnel", bare, remote, noon)
	require.NoError(t, err)
	require.ErrorContains(t, grant.MayBind("tcp", "", 25565), "this certificate has no extension permit-port-forwarding")
	require.ErrorContains(t, grant.MayDial("localhost", 80), "no extension permit-port-forwarding")
}

func TestCertificateSignedWithSHA1IsRefused(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	for algorithm, says := range map[string]string{ssh.KeyAlgoRSA: "signed with SHA-1", ssh.KeyAlgoRSASHA512: ""} {
		old, err := ssh.NewSignerWithAlgorithms(signer.(ssh.AlgorithmSigner), []string{algorithm})
		require.NoError(t, err)
		c := newAuthority(t).certify(t, nil)
		require.NoError(t, c.SignCert(rand.Reader, old))
		_, err = trusting(t, "", keyText(signer.PublicKey()), "").Authorize("tunnel", c, remote, noon)
		if says == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, says)
	}
}

// A lease follows its files: it ends with the key and with the certificate.
func TestLeaseFollowsItsFiles(t *testing.T) {
	f := newTestFile(t, `max-forwards="1" `+keyText(testKey(t, 1)))
	grant, err := f.authorize(1)
	require.NoError(t, err)
	lease := f.keys.Lease(grant)
	require.NoError(t, lease.Renew(f.settled(), noon))
	require.Same(t, grant, lease.Grant())
	release, err := lease.TakeForward()
	require.NoError(t, err)
	_, err = lease.TakeForward()
	require.ErrorContains(t, err, "may have 1 forwarded ports")
	release()
	release() // counts once

	f.write(`permitlisten="25565",max-forwards="2" ` + keyText(testKey(t, 1)))
	require.NoError(t, lease.Renew(f.settled(), noon))
	require.NotSame(t, grant, lease.Grant())
	require.Error(t, lease.MayBind("udp", "", 25566))
	for range 2 {
		_, err = lease.TakeForward()
		require.NoError(t, err)
	}
	_, err = lease.TakeForward()
	require.Error(t, err)

	require.NoError(t, os.Remove(f.path))
	require.ErrorIs(t, lease.Renew(f.settled(), noon), ErrUnknownKey)
}

func TestLeaseEndsWithTheCertificate(t *testing.T) {
	ca := newAuthority(t)
	keys := trusting(t, "", keyText(ca.PublicKey()), "")
	grant, err := keys.Authorize("tunnel", ca.certify(t, nil), remote, noon)
	require.NoError(t, err)
	lease := keys.Lease(grant)
	require.NoError(t, lease.Renew(keys.Version(), noon.Add(time.Hour-time.Second)))
	require.ErrorContains(t, lease.Renew(keys.Version(), noon.Add(time.Hour+time.Second)), "it expired at")
}

// One identity's links share one account, in which a limit holds.
func TestLimitsHoldOverAllLinksOfAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // or a busy machine lets more pass meanwhile
		f := newTestFile(t, `max-flows="2",max-connections="1",max-new-flows="3" `+keyText(testKey(t, 1)))
		var leases []*Lease
		for _, from := range []string{"192.0.2.1", "192.0.2.2"} {
			grant, err := f.keys.Authorize("x", testKey(t, 1), netip.MustParseAddr(from), noon)
			require.NoError(t, err)
			leases = append(leases, f.keys.Lease(grant))
		}
		release, ok := leases[0].TakeConn()
		require.True(t, ok)
		_, ok = leases[1].TakeConn()
		require.False(t, ok)
		release()
		_, ok = leases[1].TakeConn()
		require.True(t, ok)

		require.True(t, leases[0].TakeFlow())
		require.True(t, leases[1].TakeFlow())
		require.False(t, leases[0].TakeFlow(), "two at a time")
		leases[1].GiveFlow()
		require.True(t, leases[0].TakeFlow())
		for range 3 {
			require.True(t, leases[1].NewFlow())
		}
		require.False(t, leases[0].NewFlow(), "three a second")
	})
}

func TestMetersHoldDatagramsAndStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // or more comes in while the burst is spent
		f := newTestFile(t, `max-bandwidth="800k",max-forward-bandwidth="80k" `+keyText(testKey(t, 1)))
		grant, err := f.authorize(1)
		require.NoError(t, err)
		lease := f.keys.Lease(grant)
		up, down := lease.Meter()
		require.True(t, up.Limited())
		for _, m := range []Meters{up, down} {
			passed := 0
			for range 200 {
				if m.Pass(1000) {
					passed++
				}
			}
			require.Equal(t, minBurst/1000, passed, "the burst")
		}
		require.NoError(t, up.Wait(t.Context(), 1))
		f.write(keyText(testKey(t, 1)))
		require.NoError(t, lease.Renew(f.settled(), noon))
		lease.Adjust(up, down)
		require.False(t, up.Limited())
		require.NoError(t, up.Wait(t.Context(), 1<<30))
		require.True(t, down.Pass(1<<30))
		require.True(t, Meters{}.Pass(1))
	})
}

// Who waits no longer has taken nothing: those behind it have its turn.
func TestMeterIsGivenBackWhatIsNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meter := new(Meter)
		meter.set(8000)
		require.True(t, meter.Pass(minBurst))
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		var waiting sync.WaitGroup
		for range 10 {
			waiting.Go(func() {
				if err := meter.Wait(ctx, minBurst); !errors.Is(err, context.Canceled) {
					t.Errorf("it passed, or %v", err)
				}
			})
		}
		synctest.Wait()
		waiting.Go(func() {
			if err := meter.Wait(t.Context(), 1000); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		waiting.Wait()
		require.Equal(t, time.Second, time.Since(begun).Round(time.Millisecond))
	})
}
