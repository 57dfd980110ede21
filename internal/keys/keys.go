// Package keys holds the private keys of both programs: the relay's host keys,
// the agent's identities, their passphrases, and ssh-agent. Start with
// [LoadOrCreate] for a key of our own and [Open] for the keys an agent shows.
package keys

import (
	"encoding/base64"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Fingerprint is the key's SHA-256 in the form every OpenSSH tool prints:
// "SHA256:" and unpadded base64.
func Fingerprint(key ssh.PublicKey) string {
	return ssh.FingerprintSHA256(key)
}

// AuthorizedLine is the key as one line of an authorized_keys file, without a
// line end. White space in the comment is folded, so that a comment can never
// add a second line.
func AuthorizedLine(key ssh.PublicKey, comment string) string {
	line := key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal())
	if folded := strings.Join(strings.Fields(comment), " "); folded != "" {
		line += " " + folded
	}
	return line
}
