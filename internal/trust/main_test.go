package trust

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const relay = "relay.example.com:2222"

func newSigner(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	return signerOf(t, private)
}

func signerOf(t testing.TB, private crypto.PrivateKey) ssh.Signer {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return signer
}

func newECDSA(t testing.TB) ssh.Signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return signerOf(t, private)
}

func newRSA(t testing.TB) ssh.Signer {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return signerOf(t, private)
}

// certify has the authority certify a host key for the relay.
func certify(t testing.TB, authority, host ssh.Signer, change func(*ssh.Certificate)) ssh.Signer {
	t.Helper()
	certificate := &ssh.Certificate{
		Key: host.PublicKey(), CertType: ssh.HostCert,
		ValidPrincipals: []string{"relay.example.com"}, ValidBefore: ssh.CertTimeInfinity,
	}
	if change != nil {
		change(certificate)
	}
	require.NoError(t, certificate.SignCert(rand.Reader, authority))
	signer, err := ssh.NewCertSigner(certificate, host)
	require.NoError(t, err)
	return signer
}

// entry is a line of known_hosts for a signer's key.
func entry(hosts string, signer ssh.Signer) string {
	return hosts + strings.TrimPrefix(knownhosts.Line([]string{"x"}, signer.PublicKey()), "x") + "\n"
}

func writeKnown(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "known_hosts")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600))
	return path
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// newVerifier reads path and no file of the machine's.
func newVerifier(t testing.TB, path string, change func(*Options)) *Verifier {
	t.Helper()
	options := Options{Files: []string{path}, SystemFiles: []string{}}
	if change != nil {
		change(&options)
	}
	v, err := New(options)
	require.NoError(t, err)
	return v
}

// decide is one look at a key, as at one connection's first key exchange.
func decide(t testing.TB, v *Verifier, hostport string, signer ssh.Signer) error {
	return v.Callback(t.Context(), hostport)(hostport, &net.TCPAddr{}, signer.PublicKey())
}

// prompt answers every question alike and counts them.
type prompt struct {
	yes bool
	err error

	mu        sync.Mutex
	questions []string
}

func (p *prompt) Confirm(_ context.Context, question string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.questions = append(p.questions, question)
	return p.yes, p.err
}

func logInto(log *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// handshake dials a real server with the host keys, as the agent would.
func handshake(t *testing.T, v *Verifier, hostport string, hostKeys ...ssh.Signer) error {
	t.Helper()
	config := &ssh.ServerConfig{NoClientAuth: true}
	for _, key := range hostKeys {
		config.AddHostKey(key)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err := net.DialTimeout("tcp", listener.Addr().String(), 20*time.Second)
	require.NoError(t, err)
	defer near.Close()
	far, err := listener.Accept()
	require.NoError(t, err)
	var serving sync.WaitGroup
	defer serving.Wait()
	serving.Go(func() {
		defer far.Close()
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
	conn, channels, requests, err := ssh.NewClientConn(near, hostport, &ssh.ClientConfig{
		User: "tunnel", HostKeyCallback: v.Callback(t.Context(), hostport), HostKeyAlgorithms: v.Algorithms(hostport),
	})
	if err != nil {
		return err
	}
	return ssh.NewClient(conn, channels, requests).Close()
}
