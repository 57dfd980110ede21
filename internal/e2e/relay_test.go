//go:build linux

package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// identity is a throw-away key.
type identity struct {
	file   string // of the private key, in OpenSSH's form; the public one is beside it
	public string // the line for authorized_keys
	signer ssh.Signer
}

func newIdentity(t testing.TB) identity {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromSigner(private)
	require.NoError(t, err)
	id := identity{
		file:   filepath.Join(t.TempDir(), "key"),
		public: strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))),
		signer: signer,
	}
	require.NoError(t, os.WriteFile(id.file, pem.EncodeToMemory(block), 0o600))
	require.NoError(t, os.WriteFile(id.file+".pub", []byte(id.public+"\n"), 0o600))
	return id
}

// relay is a funnel-relay process with a state directory of its own.
type relay struct {
	*process
	state       string
	address     string
	port        string
	fingerprint string // of its host key
	hostKey     string // its line without a host, for known_hosts
	key         identity
}

// startRelay starts a relay on loopback that lets one key in. Its port isn't one that
// the system chooses: somebody else could have it when the relay starts again.
func startRelay(t testing.TB, flags ...string) *relay {
	t.Helper()
	r := &relay{state: t.TempDir(), key: newIdentity(t), address: "127.0.0.1:" + freePort(t)}
	r.authorize(t, r.key)
	r.run(t, flags...)
	return r
}

// authorize lets a key in, as a person would.
func (r *relay) authorize(t testing.TB, key identity, flags ...string) {
	t.Helper()
	args := append([]string{"authorize", "--state-dir", r.state}, flags...)
	p := start(t, filepath.Join(programs, "funnel-relay"), append(args, key.public)...)
	require.Zero(t, p.status())
}

// run starts the relay's process, for the first time or again on its port.
func (r *relay) run(t testing.TB, flags ...string) {
	t.Helper()
	args := append([]string{"serve", "--listen", r.address, "--state-dir", r.state}, flags...)
	r.process = start(t, filepath.Join(programs, "funnel-relay"), args...)
	r.address = r.expect(`listening on (\S+)`)[1]
	r.fingerprint = r.expect(`host key (SHA256:\S+)`)[1]
	_, port, err := net.SplitHostPort(r.address)
	require.NoError(t, err)
	r.port = port
	public, err := os.ReadFile(filepath.Join(r.state, "host_ed25519.pub"))
	if err == nil {
		r.hostKey = strings.TrimSpace(string(public))
		return
	}
	private, err := os.ReadFile(filepath.Join(r.state, "host_ed25519"))
	require.NoError(t, err)
	signer, err := ssh.ParsePrivateKey(private)
	require.NoError(t, err)
	r.hostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

// knownHosts is a file that trusts the relay.
func (r *relay) knownHosts(t testing.TB) string {
	t.Helper()
	return writeKnownHosts(t, r.port, r.hostKey)
}

func writeKnownHosts(t testing.TB, port, hostKey string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "[127.0.0.1]:%s %s\n", port, hostKey), 0o600))
	return path
}

// startAgent starts an agent of the relay's key and waits until it is up.
func (r *relay) startAgent(t testing.TB, flags ...string) *agent {
	t.Helper()
	a := r.launchAgent(t, flags...)
	a.expect(`funnel is up: `)
	return a
}

// launchAgent starts an agent and doesn't wait.
func (r *relay) launchAgent(t testing.TB, flags ...string) *agent {
	t.Helper()
	args := []string{"--identity", r.key.file, "--host-key", r.fingerprint, "--state-dir", t.TempDir()}
	args = append(append(args, flags...), r.address)
	return &agent{start(t, filepath.Join(programs, "funnel-agent"), args...)}
}

// agent is a funnel-agent process.
type agent struct{ *process }

// public is where the agent says that a target is reached, as seen from here.
func (a *agent) public(network, target string) string {
	a.t.Helper()
	where := a.expect(`(?m)^  ` + network + ` +(\S+) +-> ` + target + `$`)[1]
	_, port, err := net.SplitHostPort(where)
	require.NoError(a.t, err)
	return net.JoinHostPort("127.0.0.1", port)
}
