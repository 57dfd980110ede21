//go:build linux

package chaos

import (
	"io"
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
	"golang.org/x/crypto/ssh"

	"funnel/internal/keys"
	"funnel/internal/wan"
)

// The public ports, and those of the servers at home, each in a namespace of
// our own.
const (
	relayPort = 2222
	echoPort  = 25565
	bulkPort  = 25566
	udpPort   = 25567
)

// line is a good line between relay and home.
var line = wan.Conditions{Delay: 10 * time.Millisecond}

// world is a relay on the VPS, an agent and servers at home, and the line
// between them, of which players see only the public ports.
type world struct {
	t      *testing.T
	three  *wan.Three
	wrong  violations
	faulty faulty

	relayDir, agentDir     string
	relayFlags, agentFlags []string
	relayClock, agentClock *wallClock
	relay, agent           *process

	arena *arena
	bulk  chan ends
}

// newWorld builds it all and waits until it serves.
func newWorld(t *testing.T, configure func(*world)) *world {
	t.Helper()
	three, err := wan.NewThree(wan.Options{Seed: 5})
	if err != nil && os.Getenv("FUNNEL_REQUIRE_ALL") != "1" {
		t.Skipf("SKIPPED, NOT TESTED: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, three.Close()) })
	require.NoError(t, three.HomeLink.SetBoth(line))
	directory := t.TempDir()
	w := &world{
		t: t, three: three, wrong: violations{begun: time.Now()}, bulk: make(chan ends, 16),
		relayDir: filepath.Join(directory, "relay"), agentDir: filepath.Join(directory, "agent"),
		relayClock: newWallClock(t), agentClock: newWallClock(t),
	}
	t.Cleanup(func() { require.Empty(t, w.wrong.all(), "%d violations", w.wrong.count) })
	if configure != nil {
		configure(w)
	}
	w.serve(echoPort, func(conn *net.TCPConn) {
		_, _ = io.Copy(conn, conn)
		_ = conn.CloseWrite()
	})
	w.serve(bulkPort, serveBulk(w.bulk))
	conn, err := three.Home.ListenPacket("udp4", localhost(udpPort))
	require.NoError(t, err)
	w.arena = startArena(t, conn, &w.wrong)

	require.NoError(t, os.MkdirAll(w.relayDir, 0o700))
	key, _, err := keys.LoadOrCreate(w.identity())
	require.NoError(t, err)
	authorized := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))) + " chaos\n"
	require.NoError(t, os.WriteFile(filepath.Join(w.relayDir, "authorized_keys"), []byte(authorized), 0o600))
	w.startRelay()
	w.startAgent()
	w.agent.expect(`(?m)^funnel is up: `)
	return w
}

func localhost(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// identity is the file of the agent's key.
func (w *world) identity() string { return filepath.Join(w.agentDir, "id_ed25519") }

// relayAddress is where home reaches the relay.
func (w *world) relayAddress() string {
	return netip.AddrPortFrom(w.three.HomeLink.Addr(w.three.VPS), relayPort).String()
}

// public is where players reach a port.
func (w *world) public(port uint16) string {
	return netip.AddrPortFrom(w.three.PlayerLink.Addr(w.three.VPS), port).String()
}

// fingerprint is the relay's.
func (w *world) fingerprint() string {
	key, _, err := keys.LoadOrCreate(filepath.Join(w.relayDir, "host_ed25519"))
	require.NoError(w.t, err)
	return ssh.FingerprintSHA256(key.PublicKey())
}

// startRelay starts the relay, for the first time or again, and waits until it
// listens.
func (w *world) startRelay() {
	w.t.Helper()
	args := append([]string{"serve", "--listen", ":" + strconv.Itoa(relayPort), "--state-dir", w.relayDir}, w.relayFlags...)
	w.relay = start(w.t, w.three.VPS, w.relayClock.environment(), filepath.Join(programs, "funnel-relay"), args...)
	w.relay.expect(`listening on \S+\n`)
}

// startAgent starts the agent, for the first time or again, and waits for
// nothing.
func (w *world) startAgent() {
	w.t.Helper()
	args := []string{"connect", "--identity", w.identity(), "--state-dir", w.agentDir, "--host-key", w.fingerprint()}
	for _, port := range []int{echoPort, bulkPort} {
		args = append(args, "--tcp", strconv.Itoa(port)+":"+localhost(port))
	}
	args = append(args, "--udp", strconv.Itoa(udpPort)+":"+localhost(udpPort))
	args = append(append(args, w.agentFlags...), w.relayAddress())
	w.agent = start(w.t, w.three.Home, w.agentClock.environment(), filepath.Join(programs, "funnel-agent"), args...)
}

// serve is a TCP server at home that ends with the test.
func (w *world) serve(port int, handle func(*net.TCPConn)) {
	w.t.Helper()
	listener, err := w.three.Home.Listen("tcp4", localhost(port))
	require.NoError(w.t, err)
	var tasks sync.WaitGroup
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			tasks.Go(func() {
				handle(conn.(*net.TCPConn))
				conn.Close()
				mu.Lock()
				delete(conns, conn)
				mu.Unlock()
			})
		}
	})
	w.t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		tasks.Wait()
	})
}

// note logs what happens, with when.
func (w *world) note(text string) {
	w.t.Logf("%.3fs: %s", time.Since(w.wrong.begun).Seconds(), text)
}

// answered waits until what is sent from now on is answered, to a player or on a
// stream.
func (w *world) answered(p *progress) {
	w.t.Helper()
	_, err := p.wait(p.next())
	require.NoError(w.t, err)
}

// took waits for an answer and returns how long after begun it came.
func (w *world) took(p *progress, waits *waiter, begun time.Time) time.Duration {
	w.t.Helper()
	at, err := p.wait(waits)
	require.NoError(w.t, err)
	return max(at.Sub(begun), 0)
}
