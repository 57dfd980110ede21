package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestLoadOrCreateMakesOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "id_ed25519")
	first, created, err := LoadOrCreate(path)
	require.NoError(t, err)
	require.True(t, created)
	require.Equal(t, ssh.KeyAlgoED25519, first.PublicKey().Type())

	again, created, err := LoadOrCreate(path)
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, Fingerprint(first.PublicKey()), Fingerprint(again.PublicKey()))

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(text), "-----BEGIN OPENSSH PRIVATE KEY-----\n"))
	if runtime.GOOS != "windows" {
		requireMode(t, path, 0o600)
		requireMode(t, filepath.Dir(path), 0o700)
	}
	requireOnly(t, path)
}

func requireMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, want, info.Mode().Perm())
}

// requireOnly checks that nothing else was left in path's directory.
func requireOnly(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestLoadOrCreateAtOnceAgrees(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "host_key")
	const starts = 16
	var all sync.WaitGroup
	fingerprints, made := make([]string, starts), make([]bool, starts)
	for n := range starts {
		all.Go(func() {
			signer, created, err := LoadOrCreate(path)
			if err == nil {
				fingerprints[n], made[n] = Fingerprint(signer.PublicKey()), created
			}
		})
	}
	all.Wait()
	makers := 0
	for n := range starts {
		require.NotEmpty(t, fingerprints[n])
		require.Equal(t, fingerprints[0], fingerprints[n])
		if made[n] {
			makers++
		}
	}
	require.Equal(t, 1, makers)
	requireOnly(t, path)
}

func TestClaimWithoutLinks(t *testing.T) {
	noLinks := func(string, string) error { return errors.ErrUnsupported }
	directory := t.TempDir()
	path := filepath.Join(directory, "key")

	_, err := claim(noLinks, filepath.Join(directory, "absent"), path)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, err, fs.ErrNotExist)

	created, err := claim(noLinks, writeFile(t, filepath.Join(directory, "one"), "1"), path)
	require.NoError(t, err)
	require.True(t, created)

	created, err = claim(noLinks, writeFile(t, filepath.Join(directory, "two"), "2"), path)
	require.NoError(t, err)
	require.False(t, created)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "1", string(text))
}

func TestLoadOrCreateKeepsABrokenFile(t *testing.T) {
	path := writeFile(t, filepath.Join(t.TempDir(), "key"), "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
	_, _, err := LoadOrCreate(path)
	require.ErrorContains(t, err, path)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "AAAA", "a key we cannot read is not ours to replace")
}

func TestLoadOrCreateSaysWhereItFailed(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "file"), "x")
	_, _, err := LoadOrCreate(filepath.Join(file, "key"))
	require.ErrorContains(t, err, file)
}

// TestLoadPublic is told what it is also where a private key would be open to others.
func TestLoadPublic(t *testing.T) {
	_, public := newKey(t)
	path := filepath.Join(t.TempDir(), "key.pub")
	writePublic(t, path, public)
	require.NoError(t, os.Chmod(path, 0o644))
	_, err := Load(t.Context(), path, nil)
	require.ErrorContains(t, err, "it holds a public key")
}

func TestLoadEncrypted(t *testing.T) {
	private, public := newKey(t)
	path := writeKey(t, private, "secret")

	_, err := Load(t.Context(), path, nil)
	locked, ok := errors.AsType[*PassphraseError](err)
	require.True(t, ok)
	require.Equal(t, path, locked.Path)
	require.ErrorContains(t, err, "ssh-keygen -p -N '' -f "+path, "no ssh-agent is asked for it, nor a person")

	ask := &scripted{answers: []string{"wrong", "secret"}}
	signer, err := Load(t.Context(), path, ask)
	require.NoError(t, err)
	require.Equal(t, 2, ask.asked())
	require.True(t, sameKey(public, signer.PublicKey()))

	_, err = Load(t.Context(), path, &scripted{answers: []string{"a", "b", "c", "secret"}})
	require.ErrorContains(t, err, "wrong passphrase, 3 times")
}

func TestLoadOldEncryptedForm(t *testing.T) {
	path := writeOldEncrypted(t, "old")
	signer, err := Load(t.Context(), path, &scripted{answers: []string{"old"}})
	require.NoError(t, err)
	require.Equal(t, ssh.KeyAlgoECDSA256, signer.PublicKey().Type())
}

// writeOldEncrypted writes a key in the PEM form that shows nothing of it.
func writeOldEncrypted(t *testing.T, passphrase string) string {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	//lint:ignore SA1019 users still have such keys
	block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", der, []byte(passphrase), x509.PEMCipherAES128)
	require.NoError(t, err)
	return writeFile(t, filepath.Join(t.TempDir(), "id_old"), string(pem.EncodeToMemory(block)))
}

func TestLoadRefusesWhatIsNoKey(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"empty":   {"", "no key found"},
		"text":    {"hello\n", "no key found"},
		"putty":   {"PuTTY-User-Key-File-3: ssh-ed25519\n", "puttygen"},
		"public":  {"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGos4aDFhjlbHQAr5UNwngsM4PmhuRAnYnJk9SeV/lfx nas\n", "without .pub"},
		"endless": {strings.Repeat("x", maxKeyFile+1), "are no key"},
	} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, filepath.Join(t.TempDir(), "key"), test.text)
			_, err := Load(t.Context(), path, nil)
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, path)
		})
	}
	_, err := Load(t.Context(), filepath.Join(t.TempDir(), "absent"), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAuthorizedLine(t *testing.T) {
	_, public := newKey(t)
	line := AuthorizedLine(public, "nas\nssh-rsa AAAA evil")
	require.NotContains(t, line, "\n")
	parsed, comment, _, rest, err := ssh.ParseAuthorizedKey([]byte(line))
	require.NoError(t, err)
	require.Empty(t, rest)
	require.True(t, sameKey(public, parsed))
	require.Equal(t, "nas ssh-rsa AAAA evil", comment)
	require.Len(t, strings.Fields(AuthorizedLine(public, "")), 2)
	require.Equal(t, ssh.FingerprintSHA256(public), Fingerprint(public))
}
