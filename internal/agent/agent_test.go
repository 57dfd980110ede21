package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"funnel/internal/forward"
	"funnel/internal/keys"
	"funnel/internal/trust"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. It is only ever used
// up by a test that fails.
const patience = 20 * time.Second

// running is an agent under test.
type running struct {
	t       *testing.T
	agent   *Agent
	reports chan Report
	done    chan error
	cancel  context.CancelFunc
}

// hostKeys is the same check for every relay.
type hostKeys struct{ check ssh.HostKeyCallback }

func (h hostKeys) Callback(context.Context, string) ssh.HostKeyCallback { return h.check }
func (h hostKeys) Algorithms(string) []string                           { return nil }

// agentConfig is an agent for relay that exposes specs over TCP.
func agentConfig(t *testing.T, relay *testRelay, specs ...string) Config {
	config := Config{
		Address: relay.address, User: "funnel",
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(newKey(t))},
		HostKeys:          hostKeys{ssh.FixedHostKey(relay.hostKey.PublicKey())},
		KeepaliveInterval: time.Minute, KeepaliveCount: 3,
		Version: "test",
	}
	for _, spec := range specs {
		config.Forwards = append(config.Forwards, parse(t, forward.TCP, spec)...)
	}
	return config
}

func parse(t *testing.T, network forward.Network, spec string) []forward.Forward {
	forwards, err := forward.Parse(network, spec)
	require.NoError(t, err)
	return forwards
}

func run(t *testing.T, config Config) *running {
	r := &running{t: t, reports: make(chan Report, 64), done: make(chan error, 1)}
	config.Report = func(report Report) { r.reports <- report }
	a, err := New(config)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	r.agent, r.cancel = a, cancel
	go func() { r.done <- a.Run(ctx) }()
	t.Cleanup(cancel)
	return r
}

func (r *running) report() Report {
	r.t.Helper()
	select {
	case report := <-r.reports:
		return report
	case err := <-r.done:
		r.t.Fatalf("the agent ended instead of reporting: %v", err)
	case <-time.After(patience):
		r.t.Fatal("the agent doesn't report")
	}
	return Report{}
}

// end waits for Run to return by itself.
func (r *running) end() error {
	r.t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(patience):
		r.t.Fatal("the agent doesn't end")
	}
	return nil
}

// stop ends the agent from outside, which must not be an error.
func (r *running) stop() {
	r.t.Helper()
	r.cancel()
	require.NoError(r.t, r.end())
}

// target is a TCP server on loopback that runs serve on each connection.
func target(t *testing.T, serve func(*net.TCPConn)) (port string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			}()
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

func echo(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }

// ask connects to a public address, says something and returns the answer
// that comes after it has shut its sending side.
func ask(public, question string) (string, error) {
	conn, err := net.DialTimeout("tcp", public, patience)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, question); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func requireEcho(t *testing.T, public string) {
	t.Helper()
	answer, err := ask(public, "hello")
	require.NoError(t, err)
	require.Equal(t, "hello", answer)
}

func TestExposesTCP(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	port := target(t, echo)
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+port, "127.0.0.1:0:127.0.0.1:"+port))
	report := agent.report()
	require.Equal(t, "127.0.0.1", report.Relay)
	require.Len(t, report.Forwards, 2)
	require.NotEqual(t, report.Forwards[0].Public, report.Forwards[1].Public)
	for _, status := range report.Forwards {
		require.NoError(t, status.Err)
		requireEcho(t, status.Public)
	}
	agent.stop()
}

func TestHalfClose(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	const answer = "the rest, after the client has shut its side"
	port := target(t, func(conn *net.TCPConn) {
		question, _ := io.ReadAll(conn)
		fmt.Fprintf(conn, "%s: %s", question, answer)
	})
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+port))
	got, err := ask(agent.report().Forwards[0].Public, "question")
	require.NoError(t, err)
	require.Equal(t, "question: "+answer, got)
	agent.stop()
}

func TestRefusedTargetIsRejected(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+freePort(t)))
	_, err := ask(agent.report().Forwards[0].Public, "hello")
	require.Error(t, err, "the client must see a reset")
	rejection := <-relay.rejections
	require.Equal(t, ssh.ConnectionFailed, rejection.Reason)
	require.Equal(t, "the target refused the connection", rejection.Message)
	agent.stop()
}

func TestUnknownForwardIsProhibited(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	relay.lie = func(host string, port uint32) (string, uint32) { return "192.0.2.7", port }
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo)))
	_, err := ask(agent.report().Forwards[0].Public, "hello")
	require.Error(t, err)
	require.Equal(t, ssh.Prohibited, (<-relay.rejections).Reason)
	agent.stop()
}

func TestSlowTargetDoesNotStallAnother(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	release := make(chan struct{})
	stuck := target(t, func(*net.TCPConn) { <-release })
	defer close(release)
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+stuck, "0:127.0.0.1:"+target(t, echo)))
	report := agent.report()
	for range 20 {
		conn, err := net.Dial("tcp", report.Forwards[0].Public)
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(make([]byte, 32<<10))
		require.NoError(t, err)
	}
	requireEcho(t, report.Forwards[1].Public)
	agent.stop()
}

func TestComesBackWithTheSamePort(t *testing.T) {
	relay := newTestRelay(t).start()
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo)))
	first := agent.report()
	requireEcho(t, first.Forwards[0].Public)
	for range 2 {
		relay.kill()
		relay.start()
		again := agent.report()
		require.Equal(t, UpAgain, again.Event)
		require.Equal(t, first.Forwards, again.Forwards)
		requireEcho(t, first.Forwards[0].Public)
	}
	relay.kill()
	agent.stop()
}

func TestFallsBackToAnotherPort(t *testing.T) {
	relay := newTestRelay(t).start()
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo)))
	first := agent.report().Forwards[0].Public
	relay.kill()
	squatter, err := net.Listen("tcp", first)
	require.NoError(t, err)
	defer squatter.Close()
	relay.start()
	defer relay.kill()
	again := agent.report()
	require.Equal(t, Up, again.Event)
	require.NotEqual(t, first, again.Forwards[0].Public)
	requireEcho(t, again.Forwards[0].Public)
	agent.stop()
}

func TestWaitsForARelayThatIsAway(t *testing.T) {
	relay := newTestRelay(t).start()
	relay.kill()
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo)))
	relay.start()
	defer relay.kill()
	requireEcho(t, agent.report().Forwards[0].Public)
	agent.stop()
}

func TestSilentRelayIsLeft(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	config := agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo))
	config.KeepaliveInterval = 20 * time.Millisecond
	agent := run(t, config)
	agent.report()
	relay.frozen.Store(true)
	require.Eventually(t, func() bool { return relay.logins.Load() >= 2 }, patience, time.Millisecond)
	relay.frozen.Store(false)
	require.Equal(t, "127.0.0.1", agent.report().Relay)
	agent.stop()
}

func TestStopsWhileConnecting(t *testing.T) {
	mute, err := net.Listen("tcp", "127.0.0.1:0") // accepts and never says a word
	require.NoError(t, err)
	defer mute.Close()
	relay := newTestRelay(t)
	relay.address = mute.Addr().String()
	agent := run(t, agentConfig(t, relay, "25565"))
	conn, err := mute.Accept()
	require.NoError(t, err)
	defer conn.Close()
	agent.stop()
}

func TestRefusedKeyIsPermanent(t *testing.T) {
	relay := newTestRelay(t)
	relay.accepts = func(ssh.PublicKey) bool { return false }
	relay.start()
	defer relay.kill()
	err := run(t, agentConfig(t, relay, "25565")).end()
	require.ErrorIs(t, err, ErrAuth)
	require.ErrorContains(t, err, `as "funnel"`)
}

func TestKeyOnceAcceptedIsRefusedThreeTimes(t *testing.T) {
	relay := newTestRelay(t)
	var asked atomic.Int32
	relay.accepts = func(ssh.PublicKey) bool { return asked.Add(1) <= 1 } // x/crypto remembers the answer within a login
	relay.start()
	agent := run(t, agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo)))
	agent.report()
	relay.kill()
	accepted := asked.Load()
	relay.start()
	defer relay.kill()
	require.ErrorIs(t, agent.end(), ErrAuth)
	relay.kill()
	require.GreaterOrEqual(t, int(asked.Load()-accepted), refusalsAfterLogin)
}

func TestUntrustedHostKeyIsPermanent(t *testing.T) {
	for name, refusal := range map[string]error{
		"changed": &trust.ChangedError{}, "unknown": &trust.UnknownError{}, "pin": &trust.PinError{},
		"revoked": &trust.RevokedError{}, "certificate": &trust.CertificateError{Err: io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newTestRelay(t).start()
			defer relay.kill()
			config := agentConfig(t, relay, "25565")
			config.HostKeys = hostKeys{func(string, net.Addr, ssh.PublicKey) error { return refusal }}
			err := run(t, config).end()
			require.ErrorIs(t, err, ErrHostKey)
			require.ErrorIs(t, err, refusal)
		})
	}
}

func TestLockedKeyIsPermanent(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	config := agentConfig(t, relay, "25565")
	config.Auth = []ssh.AuthMethod{ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
		return nil, &keys.PassphraseError{Path: "id", Err: keys.ErrNoTerminal}
	})}
	err := run(t, config).end()
	require.ErrorIs(t, err, ErrAuth)
	require.ErrorIs(t, err, keys.ErrNoTerminal)
}

func TestLostHandshakeIsNotPermanent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	relay := newTestRelay(t)
	relay.address = listener.Addr().String()
	config := agentConfig(t, relay, "25565")
	var log bytes.Buffer
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	agent := run(t, config)
	for i := range 4 {
		conn, err := listener.Accept()
		require.NoError(t, err)
		_, _ = io.WriteString(conn, "Exceeded MaxStartups\r\n")
		_, err = bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		if i%2 == 1 { // a reset, as of who has left something unread
			require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
		}
		conn.Close()
	}
	agent.stop()
	require.Equal(t, 1, strings.Count(log.String(), "no link to the relay"), "it is one reason: %s", &log)
	require.Contains(t, log.String(), "hung up before it showed its host key")
}

func TestNewChecksItsConfig(t *testing.T) {
	relay := newTestRelay(t)
	relay.address = "127.0.0.1:2222"
	for want, spoil := range map[string]func(*Config){
		`read relay address "relay"`: func(c *Config) { c.Address = "relay" },
		"no forward was given":       func(c *Config) { c.Forwards = nil },
		"host key":                   func(c *Config) { c.HostKeys = nil },
	} {
		config := agentConfig(t, relay, "25565")
		spoil(&config)
		_, err := New(config)
		require.ErrorContains(t, err, want)
	}
}

func TestPermanentIsAboutRetries(t *testing.T) {
	require.False(t, Permanent(nil))
	require.False(t, Permanent(io.EOF))
	require.False(t, Permanent(classify(errors.New("ssh: handshake failed: EOF"), "u", "h:1")))
	require.False(t, Permanent(classify(context.DeadlineExceeded, "u", "h:1")))
	tooMany := classify(errors.New("ssh: disconnect, reason 2: Too many authentication failures"), "u", "h:1")
	require.True(t, Permanent(tooMany))
	require.ErrorContains(t, tooMany, "--identity")
	incompatible := classify(fmt.Errorf("x: %w", &ssh.AlgorithmNegotiationError{What: "client to server cipher"}), "u", "h:1")
	require.ErrorIs(t, incompatible, ErrIncompatible)
}
