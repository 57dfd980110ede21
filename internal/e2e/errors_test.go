//go:build linux

package e2e

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// TestErrorsOfTheAgent wants each failure that a retry can't mend to be told
// with its remedy, and to have its exit status. There is no terminal to ask at.
func TestErrorsOfTheAgent(t *testing.T) {
	r := startRelay(t)
	other := newIdentity(t)
	changed := writeKnownHosts(t, r.port, other.public)
	unknown := filepath.Join(t.TempDir(), "known_hosts")
	encrypted := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(encrypted, encryptedKey(t), 0o600))
	for name, test := range map[string]struct {
		flags  []string
		status int
		says   []string // expressions
	}{
		"unknown host": {
			[]string{"--identity", r.key.file, "--known-hosts", unknown}, 4,
			[]string{r.fingerprint, `--host-key|--accept-new`},
		},
		"changed host key": {
			[]string{"--identity", r.key.file, "--known-hosts", changed}, 4,
			[]string{r.fingerprint, ssh.FingerprintSHA256(other.signer.PublicKey()), changed},
		},
		"changed host key, --accept-new": {
			[]string{"--identity", r.key.file, "--known-hosts", changed, "--accept-new"}, 4,
			[]string{r.fingerprint, ssh.FingerprintSHA256(other.signer.PublicKey())},
		},
		"pinned to another": {
			[]string{"--identity", r.key.file, "--host-key", ssh.FingerprintSHA256(other.signer.PublicKey())}, 4,
			[]string{r.fingerprint, ssh.FingerprintSHA256(other.signer.PublicKey()), `--host-key`},
		},
		"encrypted key": {
			[]string{"--identity", encrypted, "--host-key", r.fingerprint}, 3,
			[]string{`passphrase`, encrypted, `terminal`},
		},
		"key not authorized": {
			[]string{"--identity", other.file, "--host-key", r.fingerprint}, 3,
			[]string{`accepts none of the keys`, `funnel-relay authorize`},
		},
		"port forbidden": {
			[]string{"--identity", r.key.file, "--host-key", r.fingerprint, "--tcp", "80:127.0.0.1:80"}, 5,
			[]string{`80`, `1024-65535|allow-ports`},
		},
		"UDP port forbidden": {
			[]string{"--identity", r.key.file, "--host-key", r.fingerprint, "--udp", "80:127.0.0.1:80", "--exit-on-forward-failure"}, 5,
			[]string{`80`, `1024-65535|allow-ports`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			flags := append(test.flags, "--state-dir", t.TempDir(), "--exit-on-forward-failure")
			if name != "port forbidden" && name != "UDP port forbidden" {
				flags = append(flags, "--tcp", "25565")
			}
			p := start(t, filepath.Join(programs, "funnel-agent"), append(flags, r.address)...)
			require.Equal(t, test.status, p.status(), p.said())
			for _, expression := range test.says {
				if !matches(expression, p.said()) {
					require.Fail(t, "not said", "%q in %s", expression, p.said())
				}
			}
		})
	}
}

func TestErrorsOfTheRelay(t *testing.T) {
	r := startRelay(t)
	program := filepath.Join(programs, "funnel-relay")
	encrypted := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(encrypted, encryptedKey(t), 0o600))
	readable := newIdentity(t)
	require.NoError(t, os.Chmod(readable.file, 0o644))
	for name, test := range map[string]struct {
		flags []string
		says  []string
	}{
		"port in use":       {[]string{"--listen", r.address}, []string{`--listen ` + r.address + `: the port is in use; name another`}},
		"encrypted key":     {[]string{"--listen", "127.0.0.1:0", "--host-key", encrypted}, []string{`--host-key`, encrypted, `passphrase`}},
		"readable by all":   {[]string{"--listen", "127.0.0.1:0", "--host-key", readable.file}, []string{`--host-key`, readable.file, `chmod 600`}},
		"directory as key":  {[]string{"--listen", "127.0.0.1:0", "--host-key", t.TempDir()}, []string{`--host-key`, `directory`}},
		"public key as key": {[]string{"--listen", "127.0.0.1:0", "--host-key", r.key.file + ".pub"}, []string{`--host-key`, `it holds a public key`, `without .pub`}},
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, program, append([]string{"--state-dir", t.TempDir()}, test.flags...)...)
			require.Equal(t, 1, p.status(), p.said())
			for _, expression := range test.says {
				if !matches(expression, p.said()) {
					require.Fail(t, "not said", "%q in %s", expression, p.said())
				}
			}
		})
	}
}

// encryptedKey is a private key with a passphrase that nobody knows.
func encryptedKey(t *testing.T) []byte {
	t.Helper()
	private, err := ssh.ParseRawPrivateKey(mustReadFile(t, newIdentity(t).file))
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("nobody knows"))
	require.NoError(t, err)
	return pem.EncodeToMemory(block)
}

func mustReadFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return text
}
