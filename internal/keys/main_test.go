package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is a Prompt that gives its answers in turn and then has no terminal.
type scripted struct {
	mu        sync.Mutex
	answers   []string
	questions []string
}

func (s *scripted) Secret(_ context.Context, question string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.questions = append(s.questions, question)
	if len(s.answers) == 0 {
		return nil, ErrNoTerminal
	}
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return []byte(answer), nil
}

func (s *scripted) Confirm(ctx context.Context, question string) (bool, error) {
	answer, err := s.Secret(ctx, question)
	return string(answer) == "yes", err
}

func (s *scripted) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.questions)
}

func newKey(t *testing.T) (ed25519.PrivateKey, ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	public, err := ssh.NewPublicKey(private.Public())
	require.NoError(t, err)
	return private, public
}

// writeKey writes a private key as ssh-keygen does, encrypted when a passphrase
// is given, and returns its path.
func writeKey(t *testing.T, private crypto.PrivateKey, passphrase string) string {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(private, "test")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "test", []byte(passphrase))
	}
	require.NoError(t, err)
	return writeFile(t, filepath.Join(t.TempDir(), "id_test"), string(pem.EncodeToMemory(block)))
}

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func writePublic(t *testing.T, path string, key ssh.PublicKey) {
	t.Helper()
	writeFile(t, path, AuthorizedLine(key, "test")+"\n")
}

// agentServer is an ssh-agent at a socket.
type agentServer struct {
	agent.Agent
	socket   string
	listener net.Listener
	serving  sync.WaitGroup
}

func startAgent(t *testing.T, private ...crypto.PrivateKey) *agentServer {
	t.Helper()
	// t.TempDir is too long for the address of a socket on some systems.
	directory, err := os.MkdirTemp("", "agent")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(directory) })
	server := &agentServer{Agent: agent.NewKeyring(), socket: filepath.Join(directory, "socket")}
	for _, key := range private {
		require.NoError(t, server.Add(agent.AddedKey{PrivateKey: key}))
	}
	server.start(t)
	t.Cleanup(server.stop)
	return server
}

func (s *agentServer) start(t *testing.T) {
	t.Helper()
	var err error
	s.listener, err = net.Listen("unix", s.socket)
	require.NoError(t, err)
	listener := s.listener
	s.serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() {
				defer conn.Close()
				_ = agent.ServeAgent(s.Agent, conn)
			})
		}
	})
}

func (s *agentServer) stop() {
	s.listener.Close()
	s.serving.Wait()
}

// login runs one SSH login against a server that takes only the wanted key and
// returns the fingerprints the server was shown.
func login(t *testing.T, i *Identities, wanted ssh.PublicKey) (shown []string, err error) {
	t.Helper()
	host, _ := newKey(t)
	hostSigner, err := ssh.NewSignerFromKey(host)
	require.NoError(t, err)
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			shown = append(shown, Fingerprint(key))
			if wanted != nil && sameKey(key, wanted) {
				return &ssh.Permissions{}, nil
			}
			return nil, os.ErrPermission
		},
	}
	config.AddHostKey(hostSigner)
	near, far := loopback(t)
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, channels, requests, err := ssh.NewServerConn(far, config)
		if err != nil {
			return
		}
		defer conn.Close()
		go ssh.DiscardRequests(requests)
		for range channels {
			continue
		}
	})
	conn, channels, requests, err := ssh.NewClientConn(near, "host:22", &ssh.ClientConfig{
		User: "tunnel", Auth: i.AuthMethods(), HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err == nil {
		client := ssh.NewClient(conn, channels, requests)
		require.NoError(t, client.Close())
	}
	near.Close()
	serving.Wait()
	return shown, err
}

func loopback(t *testing.T) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err = net.DialTimeout("tcp", listener.Addr().String(), 20*time.Second)
	require.NoError(t, err)
	far, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// startSilent listens at socket and never answers; the channel tells of the
// first connection.
func startSilent(t *testing.T, socket string) <-chan struct{} {
	t.Helper()
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	called := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		close(called)
		_, _ = io.Copy(io.Discard, conn)
	})
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	return called
}
