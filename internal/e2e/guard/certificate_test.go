package guard

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/relay"
)

// TestCertificatesOfSSHKeygen: stock ssh and an x/crypto client log in with
// certificates that ssh-keygen made, and the log says why if they may not.
func TestCertificatesOfSSHKeygen(t *testing.T) {
	needs(t, "ssh", "ssh-keygen")
	g := start(t, func(g *guarded, c *relay.Config) {
		for _, name := range []string{"ca", "other-ca", "id"} {
			g.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
		}
		g.write("user-ca", readFile(t, g.path("ca.pub")))
		g.run("ssh-keygen", "-q", "-k", "-f", "krl", "-s", "ca.pub", "/dev/null")
		c.Keys.TrustAuthorities(g.path("user-ca"), nil)
		c.Keys.Revoke(g.path("krl"))
	})
	private, err := ssh.ParsePrivateKey([]byte(readFile(t, g.path("id"))))
	require.NoError(t, err)
	request := accessCase{network: tcp, host: "127.0.0.1", port: 21510}
	for _, test := range []struct {
		name   string
		ca     string
		sign   []string // arguments of ssh-keygen
		revoke string   // a KRL's line
		want   outcome
		says   string // in the log
	}{
		{name: "valid", sign: []string{"-n", "player"}, want: bound, says: "authority=SHA256:"},
		{name: "one of several principals", sign: []string{"-n", "a,player"}, want: bound},
		{name: "wrong principal", sign: []string{"-n", "somebody"}, want: noLogin, says: `its principals \"somebody\" do not include \"player\"`},
		{name: "no principal", want: noLogin, says: "it names no principals"},
		{name: "expired", sign: []string{"-n", "player", "-V", "20200101:20200201"}, want: noLogin, says: "it expired at 2020-0"},
		{name: "not yet valid", sign: []string{"-n", "player", "-V", "20900101:20900201"}, want: noLogin, says: "it is not valid before 20"},
		{name: "other authority", ca: "other-ca", sign: []string{"-n", "player"}, want: noLogin, says: "its authority SHA256:"},
		{name: "source", sign: []string{"-n", "player", "-O", "source-address=127.0.0.0/8"}, want: bound},
		{name: "another source", sign: []string{"-n", "player", "-O", "source-address=192.0.2.0/24"}, want: noLogin, says: "it may not be used from 127.0.0.1"},
		{name: "force-command", sign: []string{"-n", "player", "-O", "force-command=date"}, want: noLogin, says: "demands force-command"},
		{name: "no forwarding", sign: []string{"-n", "player", "-O", "no-port-forwarding"}, want: refused, says: "no extension permit-port-forwarding"},
		{name: "nothing at all", sign: []string{"-n", "player", "-O", "clear"}, want: refused},
		{name: "revoked by number", sign: []string{"-n", "player", "-z", "77"}, revoke: "serial: 70-80", want: noLogin, says: "serial number 77 is revoked"},
		{name: "another number is revoked", sign: []string{"-n", "player", "-z", "81"}, revoke: "serial: 70-80", want: bound},
		{name: "revoked by identity", sign: []string{"-n", "player"}, revoke: "id: the id", want: noLogin, says: `identity \"the id\" is revoked`},
		{name: "of a host", sign: []string{"-n", "player", "-h"}, want: noLogin, says: "it is a host certificate"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ca := test.ca
			if ca == "" {
				ca = "ca"
			}
			g.run("ssh-keygen", append(append([]string{"-q", "-s", ca, "-I", "the id"}, test.sign...), "id.pub")...)
			require.NoError(t, os.WriteFile(g.path("spec"), []byte(test.revoke+"\n"), 0o600))
			g.run("ssh-keygen", "-q", "-k", "-f", "krl.next", "-s", "ca.pub", "spec")
			require.NoError(t, os.Rename(g.path("krl.next"), g.path("krl")))

			parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(readFile(t, g.path("id-cert.pub"))))
			require.NoError(t, err)
			signer, err := ssh.NewCertSigner(parsed.(*ssh.Certificate), private)
			require.NoError(t, err)
			before := len(g.log.String())
			require.Equal(t, test.want, g.byClient(t, request, signer), "by x/crypto's client")
			g.settle(t)
			require.Equal(t, test.want, g.byAgent(t, request, signer), "by the agent")
			g.settle(t)
			// The relay says so when it has noticed that the client is gone.
			require.Eventually(t, func() bool { return strings.Contains(g.log.String()[before:], test.says) },
				patience, time.Millisecond, "the log doesn't say %s", test.says)
			if strings.Contains(fmt.Sprint(test.sign), "-h") {
				return // ssh doesn't offer it
			}
			require.Equal(t, test.want, g.bySSH(t, request, "-o", "CertificateFile=id-cert.pub"), "by ssh")
			g.settle(t)
		})
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// TestKeysOfEveryKind: ssh-keygen's kinds log in, and those that are too weak
// don't.
func TestKeysOfEveryKind(t *testing.T) {
	needs(t, "ssh", "ssh-keygen")
	g := start(t, nil)
	for _, test := range []struct {
		kind, bits string
		want       outcome
	}{
		{"ed25519", "", bound}, {"ecdsa", "256", bound}, {"ecdsa", "521", bound}, {"rsa", "2048", bound}, {"rsa", "1024", noLogin},
	} {
		t.Run(test.kind+test.bits, func(t *testing.T) {
			arguments := []string{"-q", "-t", test.kind, "-N", "", "-C", "x", "-f", "id"}
			if test.bits != "" {
				arguments = append(arguments, "-b", test.bits)
			}
			_ = os.Remove(g.path("id")) // not there the first time
			g.run("ssh-keygen", arguments...)
			g.write("authorized_keys", readFile(t, g.path("id.pub")))
			// A stock client that asks for SHA-1 doesn't get in with any RSA key.
			if test.kind == "rsa" {
				require.Equal(t, noLogin, g.bySSH(t, accessCase{host: "127.0.0.1", port: 21520}, "-o", "PubkeyAcceptedAlgorithms=ssh-rsa"))
				g.settle(t)
			}
			require.Equal(t, test.want, g.bySSH(t, accessCase{host: "127.0.0.1", port: 21520}, "-o", "RequiredRSASize=1024"))
			g.settle(t)
		})
	}
}

// TestRevokingEndsLinks: what keys revoke does to the file ends the link.
func TestRevokingEndsLinks(t *testing.T) {
	g := start(t, nil)
	key := newKey(t)
	g.write("authorized_keys", keyText(key.PublicKey())+" friend\n")
	client, err := g.client("x", key)
	require.NoError(t, err)
	defer client.Close()
	_, err = access.Remove(g.path("authorized_keys"), "friend")
	require.NoError(t, err)
	require.Error(t, client.Wait())
	_, err = g.client("x", key)
	require.ErrorContains(t, err, "unable to authenticate")
}
