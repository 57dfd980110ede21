package access

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestListAndRemove(t *testing.T) {
	content := "# mine\n" +
		keyText(testKey(t, 1)) + " home\r\n" +
		`permitlisten="25565" ` + keyText(testKey(t, 2)) + " friend\n" +
		"oops " + keyText(testKey(t, 3)) + " friend\n" +
		keyText(testKey(t, 1)) + " home again"
	f := newTestFile(t, content)
	listed, err := List(f.path)
	require.NoError(t, err)
	require.Len(t, listed, 4)
	require.Equal(t, Listed{Line: 3, Fingerprint: ssh.FingerprintSHA256(testKey(t, 2)), Kind: "ssh-ed25519", Name: "friend", Options: `permitlisten="25565"`}, listed[1])
	require.Contains(t, listed[2].Problem, `option "oops" is not known`)

	_, err = Remove(f.path, "friend")
	require.ErrorContains(t, err, `several keys are named "friend": name one by its fingerprint, SHA256:`)
	_, err = Remove(f.path, "nobody")
	require.ErrorIs(t, err, ErrNotListed)
	_, err = Remove(f.path, "")
	require.ErrorIs(t, err, ErrNotListed)
	require.Equal(t, content, readText(t, f.path))

	removed, err := Remove(f.path, keyText(testKey(t, 1)))
	require.NoError(t, err)
	require.Len(t, removed, 2, "every line of the key")
	removed, err = Remove(f.path, ssh.FingerprintSHA256(testKey(t, 3)))
	require.NoError(t, err)
	require.Len(t, removed, 1)
	_, err = Remove(f.path, "friend")
	require.NoError(t, err, "now it is one")
	require.Equal(t, "# mine\n", readText(t, f.path))
	onlyFile(t, f.path)
}

func TestAppendRevoked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	c := newAuthority(t).certify(t, nil)
	require.NoError(t, AppendRevoked(path, c, "alice"))
	require.NoError(t, AppendRevoked(path, testKey(t, 2), ""))
	require.Equal(t, keyText(testKey(t, 1))+" alice\n"+keyText(testKey(t, 2))+"\n", readText(t, path))
	r, err := parseRevocations([]byte(readText(t, path)))
	require.NoError(t, err)
	require.NotEmpty(t, r.find(c))

	f := newTestFile(t, krlOf())
	require.ErrorContains(t, AppendRevoked(f.path, testKey(t, 1), ""), "is a KRL: add the key with ssh-keygen -k -u")
}
