package trust

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestWhatALineKnows(t *testing.T) {
	key := newSigner(t)
	for name, test := range map[string]struct {
		hosts, hostport string
		known           bool
	}{
		"name":                     {"relay.example.com", "relay.example.com:22", true},
		"another name":             {"other.example.com", "relay.example.com:22", false},
		"letters":                  {"Relay.Example.COM", "RELAY.example.com:22", true},
		"port":                     {"[relay.example.com]:2222", relay, true},
		"another port":             {"[relay.example.com]:2223", relay, false},
		"no port is every port":    {"relay.example.com", relay, true},
		"a port is not 22":         {"[relay.example.com]:2222", "relay.example.com:22", false},
		"list":                     {"a,relay.example.com,b", "relay.example.com:22", true},
		"star":                     {"*.example.com", "relay.example.com:22", true},
		"star at a port":           {"*.example.com", relay, true},
		"star alone":               {"*", relay, true},
		"star and port":            {"[*.example.com]:2222", relay, true},
		"question mark":            {"rela?.example.com", "relay.example.com:22", true},
		"question mark is one":     {"relay?.example.com", "relay.example.com:22", false},
		"negated":                  {"*.example.com,!relay.example.com", "relay.example.com:22", false},
		"negated first":            {"!relay.example.com,*.example.com", "relay.example.com:22", false},
		"negated another":          {"*.example.com,!other.example.com", "relay.example.com:22", true},
		"negated alone":            {"!other.example.com", "relay.example.com:22", false},
		"IPv4":                     {"192.0.2.7", "192.0.2.7:22", true},
		"IPv6":                     {"2001:db8::1", "[2001:db8::1]:22", true},
		"IPv6 and port":            {"[2001:db8::1]:2222", "[2001:db8::1]:2222", true},
		"hashed":                   {knownhosts.HashHostname("relay.example.com"), "relay.example.com:22", true},
		"hashed and port":          {knownhosts.HashHostname("[relay.example.com]:2222"), relay, true},
		"hashed another":           {knownhosts.HashHostname("other.example.com"), "relay.example.com:22", false},
		"hashed name at any port":  {knownhosts.HashHostname("relay.example.com"), relay, true},
		"hashed port is not 22":    {knownhosts.HashHostname("[relay.example.com]:2222"), "relay.example.com:22", false},
		"authority is no host key": {"@cert-authority relay.example.com", "relay.example.com:22", false},
	} {
		t.Run(name, func(t *testing.T) {
			err := decide(t, newVerifier(t, writeKnown(t, entry(test.hosts, key)), nil), test.hostport, key)
			if test.known {
				require.NoError(t, err)
				return
			}
			unknown, ok := errors.AsType[*UnknownError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, test.hostport, unknown.Host)
		})
	}
}

func TestAgainstTheLibrary(t *testing.T) {
	// The library reads the same lines in its own way; where it follows OpenSSH
	// the two agree.
	known, other := newSigner(t), newSigner(t)
	path := writeKnown(t,
		entry("relay.example.com", known), entry("[relay.example.com]:2222", known), entry("*.lan", known),
		entry(knownhosts.HashHostname("hidden.example.com"), known), entry("192.0.2.7,2001:db8::1", known), entry("!no.org,*.org", known))
	library, err := knownhosts.New(path)
	require.NoError(t, err)
	v := newVerifier(t, path, nil)
	for _, hostport := range []string{
		"relay.example.com:22", relay, "nas.lan:22", "hidden.example.com:22", "192.0.2.7:22", "[2001:db8::1]:22",
		"no.org:22", "yes.org:22", "unknown.example.net:22",
	} {
		for _, key := range []ssh.Signer{known, other} {
			want := library(hostport, &net.TCPAddr{}, key.PublicKey())
			got := decide(t, v, hostport, key)
			require.Equal(t, want == nil, got == nil, hostport)
			if theirs, ok := errors.AsType[*knownhosts.KeyError](want); ok {
				_, changed := errors.AsType[*ChangedError](got)
				require.Equal(t, len(theirs.Want) > 0, changed, hostport)
			}
		}
	}
}

func TestChangedKey(t *testing.T) {
	old, offered := newSigner(t), newSigner(t)
	path := writeKnown(t, "# comment\n", "\n", entry("[relay.example.com]:2222", old))
	for _, options := range []func(*Options){
		nil,
		func(o *Options) { o.AcceptNew = true },
		func(o *Options) { o.Prompt = &prompt{yes: true} },
	} {
		err := handshake(t, newVerifier(t, path, options), relay, offered)
		changed, ok := errors.AsType[*ChangedError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, []Known{{path, 3, "ssh-ed25519", ssh.FingerprintSHA256(old.PublicKey())}}, changed.Known)
		require.Equal(t, ssh.FingerprintSHA256(offered.PublicKey()), changed.Fingerprint)
		require.ErrorContains(t, err, path+":3")
		require.ErrorContains(t, err, changed.Fingerprint)
		require.ErrorContains(t, err, changed.Known[0].Fingerprint)
	}
	require.Equal(t, 3, countLines(readText(t, path)))
}

// TestKeyOfThePortCountsBeforeThatOfTheHost, as with ssh: another server of the host
// mustn't pass for the relay.
func TestKeyOfThePortCountsBeforeThatOfTheHost(t *testing.T) {
	port, host := newSigner(t), newSigner(t)
	path := writeKnown(t, entry("[relay.example.com]:2222", port), entry("relay.example.com", host))
	require.NoError(t, handshake(t, newVerifier(t, path, nil), relay, port))
	_, changed := errors.AsType[*ChangedError](handshake(t, newVerifier(t, path, nil), relay, host))
	require.True(t, changed)
	require.NoError(t, handshake(t, newVerifier(t, path, nil), "relay.example.com:2022", host), "of which nothing is known")
}

func countLines(text string) (n int) {
	for _, c := range text {
		if c == '\n' {
			n++
		}
	}
	return n
}

func TestChangedUnderAWildcard(t *testing.T) {
	err := decide(t, newVerifier(t, writeKnown(t, entry("*", newSigner(t))), nil), relay, newSigner(t))
	_, ok := errors.AsType[*ChangedError](err)
	require.True(t, ok, "%v", err)
}

func TestAnotherKeyWithoutPortIsUnknown(t *testing.T) {
	// The line is about the sshd of the machine, the relay has a port and key of
	// its own.
	path := writeKnown(t, entry("relay.example.com", newSigner(t)))
	v := newVerifier(t, path, func(o *Options) { o.AcceptNew = true })
	key := newSigner(t)
	require.NoError(t, handshake(t, v, relay, key))
	require.Contains(t, readText(t, path), entry("[relay.example.com]:2222", key))
}

func TestRevoked(t *testing.T) {
	key, authority := newSigner(t), newSigner(t)
	certified := certify(t, authority, key, nil)
	for name, test := range map[string]struct {
		revoked, offered ssh.Signer
	}{
		"key":                          {key, key},
		"key of a certificate":         {key, certified},
		"authority of the certificate": {authority, certified},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeKnown(t, entry("relay.example.com", key), entry("@cert-authority *", authority), entry("@revoked elsewhere", test.revoked))
			v := newVerifier(t, path, func(o *Options) { o.AcceptNew = true })
			err := handshake(t, v, relay, test.offered)
			revoked, ok := errors.AsType[*RevokedError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, 3, revoked.By.Line)
			require.ErrorContains(t, err, path+":3")
		})
	}
}

func TestCertificates(t *testing.T) {
	authority, stranger, key := newRSA(t), newSigner(t), newECDSA(t)
	line := entry("@cert-authority *.example.com", authority)
	for name, test := range map[string]struct {
		lines   []string
		offered ssh.Signer
		want    string // empty when it is trusted
	}{
		"signed":                   {[]string{line}, certify(t, authority, key, nil), ""},
		"principal is a pattern":   {[]string{line}, certify(t, authority, key, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"a", "*.Example.com"} }), ""},
		"by a stranger":            {[]string{line}, certify(t, stranger, key, nil), "is not known"},
		"by a stranger, key known": {[]string{line, entry("relay.example.com", key)}, certify(t, stranger, key, nil), ""},
		"by a stranger, changed":   {[]string{line, entry("[relay.example.com]:2222", stranger)}, certify(t, stranger, key, nil), "CHANGED"},
		"of a user":                {[]string{line}, certify(t, authority, key, func(c *ssh.Certificate) { c.CertType = ssh.UserCert }), "not for a host"},
		"expired":                  {[]string{line}, certify(t, authority, key, func(c *ssh.Certificate) { c.ValidBefore = 1 }), "expired"},
		"expired, key known":       {[]string{line, entry("[relay.example.com]:2222", key)}, certify(t, authority, key, func(c *ssh.Certificate) { c.ValidBefore = 1 }), ""},
		"another principal":        {[]string{line}, certify(t, authority, key, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"other"} }), "principal"},
		"authority elsewhere":      {[]string{entry("@cert-authority *.example.net", authority)}, certify(t, authority, key, nil), "is not known"},
		"negated":                  {[]string{entry("@cert-authority *.com,!relay.example.com", authority)}, certify(t, authority, key, nil), "is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, writeKnown(t, test.lines...), nil)
			// Shown straight to the callback, for a server may be asked for the
			// plain key where no authority is known.
			err := decide(t, v, "relay.example.com:22", test.offered)
			if test.want == "CHANGED" {
				err = decide(t, v, relay, test.offered)
			}
			if test.want == "" {
				require.NoError(t, decide(t, v, relay, test.offered))
				require.NoError(t, handshake(t, v, relay, test.offered))
				return
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestAuthorityServingItsOwnKeyIsUnknown(t *testing.T) {
	authority := newSigner(t)
	v := newVerifier(t, writeKnown(t, entry("@cert-authority *", authority)), nil)
	_, ok := errors.AsType[*UnknownError](handshake(t, v, relay, authority))
	require.True(t, ok)
}

func TestSeveralFiles(t *testing.T) {
	user, system, second := newSigner(t), newSigner(t), newSigner(t)
	v, err := New(Options{
		Files:       []string{filepath.Join(t.TempDir(), "absent"), writeKnown(t, entry("second", second))},
		SystemFiles: []string{writeKnown(t, entry("system", system))},
		AcceptNew:   true,
	})
	require.NoError(t, err)
	require.NoError(t, decide(t, v, "system:22", system))
	require.NoError(t, decide(t, v, "second:22", second))
	require.NoError(t, decide(t, v, "user:22", user))
	require.Equal(t, entry("user", user), readText(t, v.files[0]))
	_, ok := errors.AsType[*ChangedError](decide(t, v, "system:22", user))
	require.True(t, ok)
}

func TestDefaultFiles(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	key := newSigner(t)
	v, err := New(Options{AcceptNew: true})
	require.NoError(t, err)
	require.NoError(t, decide(t, v, relay, key))
	require.Equal(t, entry("[relay.example.com]:2222", key), readText(t, filepath.Join(home, ".ssh", "known_hosts")))
	require.Len(t, systemFiles(), 2)
	t.Setenv("HOME", "")
	t.Setenv("USERPROFILE", "")
	for _, path := range userFiles() {
		require.True(t, filepath.IsAbs(path) || os.PathSeparator == '\\', "from the user database")
	}
}
