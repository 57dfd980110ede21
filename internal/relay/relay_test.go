package relay

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/freeport"
	"funnel/internal/sshwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

func newKey(t testing.TB) ssh.Signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromSigner(private)
	require.NoError(t, err)
	return signer
}

// testbed is a relay under test with one authorized key.
type testbed struct {
	t       testing.TB
	relay   *Relay
	address string
	hostKey ssh.Signer
	key     ssh.Signer
	keys    string // file of authorized keys
	logged  *logBuffer
	stop    context.CancelFunc
	done    chan struct{} // Run has returned
}

// logBuffer collects a log.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startRelay starts a relay on loopback, after change has changed its
// configuration.
func startRelay(t testing.TB, change ...func(*Config)) *testbed {
	s := &testbed{
		t: t, hostKey: newKey(t), key: newKey(t), logged: &logBuffer{}, done: make(chan struct{}),
		keys: filepath.Join(t.TempDir(), "authorized_keys"),
	}
	s.authorize(s.key, "")
	policy, err := access.ParsePolicy(nil, nil)
	require.NoError(t, err)
	log := slog.New(slog.NewTextHandler(s.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config := Config{
		Listen:   []string{"127.0.0.1:0"},
		HostKeys: []ssh.Signer{s.hostKey},
		Keys:     access.NewKeys(s.keys, policy, log),
		Version:  "test",
		Log:      log,
	}
	for _, c := range change {
		c(&config)
	}
	s.relay, err = New(config)
	require.NoError(t, err)
	addresses, err := s.relay.Listen()
	require.NoError(t, err)
	s.address = addresses[0].String()

	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() {
		defer close(s.done)
		_ = s.relay.Run(ctx)
	}()
	t.Cleanup(func() {
		s.end()
		if t.Failed() {
			t.Log(s.logged.String())
		}
	})
	return s
}

// requireLogged waits for text in the log: a client may know of an event before
// the relay has logged it.
func (s *testbed) requireLogged(text string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return strings.Contains(s.logged.String(), text) }, patience, time.Millisecond,
		"not logged: %s", text)
}

// end stops the relay and wants it to be gone soon.
func (s *testbed) end() {
	s.stop()
	select {
	case <-s.done:
	case <-time.After(patience):
		require.Fail(s.t, "Run did not return")
	}
}

// authorize adds a key with options.
func (s *testbed) authorize(key ssh.Signer, options string) {
	line := strings.TrimSpace(options+" "+strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))) + " nas\n"
	file, err := os.OpenFile(s.keys, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(s.t, err)
	_, err = file.WriteString(line)
	require.NoError(s.t, errors.Join(err, file.Close()))
}

func (s *testbed) clientConfig(keys ...ssh.Signer) *ssh.ClientConfig {
	config := sshwire.ClientConfig("test")
	config.ClientVersion = "SSH-2.0-stock_client"
	config.User = "tunnel"
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(keys...)}
	config.HostKeyCallback = ssh.FixedHostKey(s.hostKey.PublicKey())
	config.Timeout = patience
	return config
}

// dial logs in.
func (s *testbed) dial() *ssh.Client { return s.dialWith(s.clientConfig(s.key)) }

func (s *testbed) dialWith(config *ssh.ClientConfig) *ssh.Client {
	s.t.Helper()
	client, err := ssh.Dial("tcp", s.address, config)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { client.Close() })
	return client
}

// forward asks for a port and returns the one bound.
func forward(t testing.TB, client ssh.Conn, address string, port uint16) uint16 {
	t.Helper()
	ok, reply, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: address, Port: uint32(port)}))
	require.NoError(t, err)
	require.True(t, ok, string(reply))
	if port != 0 {
		require.Empty(t, reply)
		return port
	}
	chosen, err := sshwire.ParseForwardReply(reply)
	require.NoError(t, err)
	return uint16(chosen.Port)
}

// freePort is a port that nobody has at the moment.
func freePort(t testing.TB) uint16 {
	t.Helper()
	port, err := freeport.Relay.Find(netip.Addr{})
	require.NoError(t, err)
	return port
}

func cancelForward(t testing.TB, client ssh.Conn, address string, port uint16) bool {
	ok, reply, err := client.SendRequest("cancel-tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: address, Port: uint32(port)}))
	require.NoError(t, err)
	require.Empty(t, reply)
	return ok
}

// offers takes the forwarded connections of a client.
func offers(t testing.TB, client *ssh.Client) <-chan ssh.NewChannel {
	channels := client.HandleChannelOpen("forwarded-tcpip")
	require.NotNil(t, channels)
	return channels
}

// serveEach accepts every offered connection and serves it in a goroutine.
func serveEach(t testing.TB, client *ssh.Client, serve func(ssh.Channel)) {
	channels := offers(t, client)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for offer := range channels {
			channel, requests, err := offer.Accept()
			if err != nil {
				continue
			}
			tasks.Go(func() { ssh.DiscardRequests(requests) })
			tasks.Go(func() { serve(channel) })
		}
	})
	t.Cleanup(func() {
		client.Close()
		tasks.Wait()
	})
}

// echo sends everything back and passes the end on.
func echo(channel ssh.Channel) {
	_, _ = io.Copy(channel, channel)
	_ = channel.CloseWrite()
	_ = channel.Close()
}

func connect(t testing.TB, host string, port uint16) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))), patience)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn.(*net.TCPConn)
}

// requireEcho sends a text through a public port and wants it back.
func requireEcho(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
	back := make([]byte, len(text))
	_, err = io.ReadFull(conn, back)
	require.NoError(t, err)
	require.Equal(t, text, string(back))
}

// requireReset wants a connection to end by a reset, not by an orderly end.
func requireReset(t testing.TB, conn net.Conn) {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	require.Error(t, err)
	var network net.Error
	require.False(t, errors.As(err, &network) && network.Timeout(), "%v", err)
}

func hasIPv6() bool {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	listener.Close()
	return true
}

func TestNewChecksItsConfiguration(t *testing.T) {
	key := newKey(t)
	good := Config{Listen: []string{"127.0.0.1:0"}, HostKeys: []ssh.Signer{key}, Keys: access.NewKeys("x", access.Policy{}, nil)}
	_, err := New(good)
	require.NoError(t, err)
	for want, change := range map[string]func(*Config){
		"no address":     func(c *Config) { c.Listen = nil },
		"no host key":    func(c *Config) { c.HostKeys = nil },
		"nobody":         func(c *Config) { c.Keys = nil },
		"two host keys ": func(c *Config) { c.HostKeys = []ssh.Signer{key, newKey(t)} },
	} {
		config := good
		change(&config)
		_, err := New(config)
		require.ErrorContains(t, err, want)
	}
}

func TestListenOpensAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	relay, err := New(Config{
		Listen:   []string{"127.0.0.1:0", taken.Addr().String()},
		HostKeys: []ssh.Signer{newKey(t)},
		Keys:     access.NewKeys("x", access.Policy{}, nil),
	})
	require.NoError(t, err)
	_, err = relay.Listen()
	failure, ok := errors.AsType[*ListenError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, taken.Addr().String(), failure.Address)
	require.ErrorAs(t, relay.Run(t.Context()), &failure, "Run listens if nobody did")
}

func TestSeveralListeners(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Listen = []string{"127.0.0.1:0", "localhost:0"} })
	for _, listener := range s.relay.listeners {
		s.address = listener.Addr().String()
		_, _, err := s.dial().SendRequest("keepalive@openssh.com", true, nil)
		require.NoError(t, err)
	}
}

func TestRelayCanStartAgainAtOnce(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Listen = []string{fmt.Sprintf("127.0.0.1:%d", freePort(t))} })
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", freePort(t))
	requireEcho(t, connect(t, "127.0.0.1", port), "before")
	s.end()

	again := startRelay(t, func(c *Config) { c.Listen = []string{s.address} })
	client = again.dial()
	serveEach(t, client, echo)
	forward(t, client, "127.0.0.1", port)
	requireEcho(t, connect(t, "127.0.0.1", port), "after")
}

func TestStopWhileBusy(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	var busy sync.WaitGroup
	for range 8 {
		conn := connect(t, "127.0.0.1", port)
		requireEcho(t, conn, "started")
		busy.Go(func() { _, _ = io.Copy(io.Discard, conn) })
		busy.Go(func() {
			chunk := make([]byte, 64<<10)
			for {
				if _, err := conn.Write(chunk); err != nil {
					return
				}
			}
		})
	}
	// One that is at the very beginning, too.
	idle, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer idle.Close()

	s.end()
	busy.Wait()
	require.Error(t, client.Wait())
	_, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	require.Error(t, err, "the public port is closed")
}
