package access

import (
	"bytes"
	"crypto/ed25519"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	remote = netip.MustParseAddr("203.0.113.9")
)

// testKey makes the key with a number; equal numbers make equal keys.
func testKey(t testing.TB, number byte) ssh.PublicKey {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = number
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(seed).Public())
	require.NoError(t, err)
	return key
}

func keyText(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// testFile is an authorized keys file with what Keys logs about it.
type testFile struct {
	t    testing.TB
	path string
	keys *Keys
	log  bytes.Buffer
}

func newTestFile(t testing.TB, content string) *testFile {
	t.Helper()
	f := &testFile{t: t, path: filepath.Join(t.TempDir(), "authorized_keys")}
	policy, err := ParsePolicy(nil, nil)
	require.NoError(t, err)
	f.keys = NewKeys(f.path, policy, slog.New(slog.NewTextHandler(&f.log, nil)))
	f.write(content)
	return f
}

func (f *testFile) write(content string) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.path, []byte(content), 0o600))
}

// settled is the version that counts when what was written has been there at two
// looks.
func (f *testFile) settled() uint64 {
	f.keys.Version()
	return f.keys.Version()
}

// authorize logs in with the key with a number.
func (f *testFile) authorize(number byte) (*Grant, error) {
	f.t.Helper()
	return f.keys.Authorize("tunnel", testKey(f.t, number), remote, noon)
}

// warnings are the lines logged since the last call.
func (f *testFile) warnings() []string {
	text := strings.TrimSpace(f.log.String())
	f.log.Reset()
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// grantOf is what a key with these options is granted under a policy.
func grantOf(t testing.TB, options string, policy Policy) *Grant {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authorized_keys")
	line := strings.TrimSpace(options + " " + keyText(testKey(t, 1)))
	require.NoError(t, os.WriteFile(path, []byte(line+" home\n"), 0o600))
	grant, err := NewKeys(path, policy, nil).Authorize("tunnel", testKey(t, 1), remote, noon)
	require.NoError(t, err)
	return grant
}

func mustPolicy(t testing.TB, ports string, bind ...string) Policy {
	t.Helper()
	policy, err := ParsePolicy([]string{ports}, bind)
	require.NoError(t, err)
	return policy
}
