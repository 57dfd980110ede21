package guard

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/agent"
	"funnel/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// needs skips a test without one of the field's programs, or fails it where
// nothing may be left out.
func needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("FUNNEL_REQUIRE_ALL") == "1" {
				require.NoError(t, err)
			}
			t.Skipf("SKIPPED: %s is not installed", program)
		}
	}
}

// buffer collects a log.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// guarded is a relay on loopback and the files of its operator.
type guarded struct {
	t         testing.TB
	directory string
	address   string
	hostKey   ssh.Signer
	relay     *relay.Relay
	log       *buffer
	stop      func() // idempotent; returns when the relay has stopped
}

// newKey makes an ed25519 key.
func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return signer
}

func keyText(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// start starts a relay, after change has changed its configuration.
func start(t testing.TB, change func(*guarded, *relay.Config)) *guarded {
	t.Helper()
	g := &guarded{t: t, directory: t.TempDir(), hostKey: newKey(t), log: &buffer{}}
	policy, err := access.ParsePolicy([]string{"21500-21599,443,1024-20000,22000-65535"}, nil)
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	config := relay.Config{
		Listen:   []string{"127.0.0.1:0"},
		HostKeys: []ssh.Signer{g.hostKey},
		Keys:     access.NewKeys(g.path("authorized_keys"), policy, log),
		Version:  "test",
		Log:      log,
	}
	if change != nil {
		change(g, &config)
	}
	g.relay, err = relay.New(config)
	require.NoError(t, err)
	addresses, err := g.relay.Listen()
	require.NoError(t, err)
	g.address = addresses[0].String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.relay.Run(ctx) }()
	g.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
		if t.Failed() {
			t.Log(g.log.String())
		}
	})
	t.Cleanup(g.stop)
	return g
}

func (g *guarded) path(name string) string { return filepath.Join(g.directory, name) }

// write replaces a file as a whole.
func (g *guarded) write(name, text string) {
	g.t.Helper()
	next := g.path(name + ".next")
	require.NoError(g.t, os.WriteFile(next, []byte(text), 0o600))
	require.NoError(g.t, os.Rename(next, g.path(name)))
}

// run runs a program in the directory of the files.
func (g *guarded) run(program string, arguments ...string) string {
	g.t.Helper()
	command := exec.Command(program, arguments...)
	command.Dir = g.directory
	out, err := command.CombinedOutput()
	require.NoError(g.t, err, "%s %v: %s", program, arguments, out)
	return string(out)
}

// trusted is an agent's trust in the relay under test.
type trusted struct{ key ssh.PublicKey }

func (t trusted) Callback(context.Context, string) ssh.HostKeyCallback {
	return ssh.FixedHostKey(t.key)
}
func (t trusted) Algorithms(string) []string { return nil }

// agentConfig is an agent's with a key.
func (g *guarded) agentConfig(user string, keys ...ssh.Signer) agent.Config {
	return agent.Config{
		Address: g.address, User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)}, HostKeys: trusted{g.hostKey.PublicKey()},
		KeepaliveInterval: 5 * time.Second, KeepaliveCount: 3, Lanes: 1, Version: "test",
	}
}

// client logs in as any SSH client may.
func (g *guarded) client(user string, keys ...ssh.Signer) (*ssh.Client, error) {
	return ssh.Dial("tcp", g.address, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{ssh.PublicKeys(keys...)},
		HostKeyCallback: ssh.FixedHostKey(g.hostKey.PublicKey()), Timeout: patience,
	})
}
