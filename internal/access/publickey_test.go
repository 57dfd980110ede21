package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func securityKey(t testing.TB) ssh.PublicKey {
	t.Helper()
	key, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Name        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, make([]byte, 32), "ssh:"}))
	require.NoError(t, err)
	return key
}

func TestParseKey(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	curve, err := ssh.NewPublicKey(private.Public())
	require.NoError(t, err)
	for _, want := range []ssh.PublicKey{testKey(t, 1), curve, securityKey(t)} {
		text := keyText(want)
		for given, comment := range map[string]string{
			text:                                  "",
			text + "\n":                           "",
			text + " me@home\r\n":                 "me@home",
			"\ufeff# my key\n\n" + text + " a  b": "a b",
			"  " + strings.ReplaceAll(text, " ", "\t ") + "\tx\x1b ": "x?",
		} {
			key, got, err := ParseKey(given)
			require.NoError(t, err, given)
			require.Equal(t, want.Marshal(), key.Marshal())
			require.Equal(t, comment, got)
		}
	}
}

func TestParseKeyHelps(t *testing.T) {
	text := keyText(testKey(t, 1))
	encoded := strings.Fields(text)[1]
	const secret = "c2VjcmV0"
	for given, says := range map[string]string{
		"":                                      "it is empty: want a line as in ssh-ed25519 AAAA",
		" \n# nothing\n":                        "it is empty",
		"ssh-ed25519":                           `nothing follows the key type "ssh-ed25519": the key is cut off`,
		"ssh-ed25519 " + encoded[:40]:           "damaged or cut off",
		"ssh-ed25519 " + encoded[:41]:           "damaged or cut off: it is not base64",
		"ssh-ed25519 !!!":                       "it is not base64",
		"ssh-rsa " + encoded:                    `the key is of type "ssh-ed25519", but "ssh-rsa" stands in front of it`,
		"ssh-kyber " + encoded:                  `the key is of type "ssh-ed25519", but "ssh-kyber"`,
		"ssh-ed25519-cert-v01@openssh.com AAAA": "certificate",
		encoded:                                 "the key's type is missing in front of it",
		encoded + " me@home":                    "the key's type is missing in front of it",
		"restrict " + text:                      "options stand in front of the key",
		text + "\n" + keyText(testKey(t, 2)):    "there are 2 keys: authorize one at a time",
		"ssh-ed25519 " + encoded[:30] + "\n" + encoded[30:]: "spread over several lines",
		"/home/me/.ssh/id_ed25519.pub":                      `"/home/me/.ssh/id_ed25519.pub" looks like the name of a file: give its content on standard input, with - < /home/me/.ssh/id_ed25519.pub`,
		"id_ed25519.pub":                                    "looks like the name of a file",
		"~/key":                                             "looks like the name of a file",
		`C:\Users\me\key`:                                   "looks like the name of a file",
		"SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDg":               "it is the fingerprint of a key",
		"hello world":                                       `"hello" is not a key type: want a line as in ssh-ed25519`,
		"-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret + "\n-----END OPENSSH PRIVATE KEY-----\n": "this is a private key: keep it secret",
		"-----BEGIN RSA PRIVATE KEY-----\n" + secret:                                               "this is a private key",
		"PuTTY-User-Key-File-3: ssh-ed25519\n" + secret:                                            "this is a private key",
		"---- BEGIN SSH2 PUBLIC KEY ----\n" + secret:                                               "ssh-keygen -i -f FILE",
		"-----BEGIN PUBLIC KEY-----\n" + secret:                                                    "ssh-keygen -i -m PKCS8 -f FILE",
		"-----BEGIN CERTIFICATE-----\n" + secret:                                                   "a PEM file of another kind",
	} {
		key, comment, err := ParseKey(given)
		require.ErrorContains(t, err, "read public key: ", given)
		require.ErrorContains(t, err, says, given)
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, err.Error(), "\n")
		require.Nil(t, key)
		require.Empty(t, comment)
	}
}
