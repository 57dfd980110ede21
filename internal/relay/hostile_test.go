package relay

import (
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// alive returns a link with an echo behind a public port, and a check that it
// goes on, which the tests make after what they have done to the relay.
func alive(t *testing.T, s *testbed) (check func()) {
	client := s.dial()
	serveEach(t, client, echo)
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	return func() {
		t.Helper()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		requireEcho(t, conn, "alive")
	}
}

func TestGarbageBeforeTheHandshake(t *testing.T) {
	s := startRelay(t)
	check := alive(t, s)
	random := rand.New(rand.NewChaCha8([32]byte{2}))
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	hello := "SSH-2.0-x\r\n"
	for name, garbage := range map[string]string{
		"nothing":             "",
		"noise":               string(noise),
		"http":                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"endless line":        strings.Repeat("a", 100_000),
		"endless lines":       strings.Repeat("a\n", 100_000),
		"noise after version": hello + string(noise),
		"huge length":         hello + "\xff\xff\xff\xff\x00\x00\x00\x00",
		"length 0":            hello + "\x00\x00\x00\x00\x00\x00\x00\x00",
		"another message":     hello + "\x00\x00\x00\x0c\x0a\x05" + strings.Repeat("\x00", 10),
		"version 1":           "SSH-1.5-x\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.address)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			_, _ = io.WriteString(conn, garbage) // the relay may have hung up before its end
			require.NoError(t, ignoreReset(conn.(*net.TCPConn).CloseWrite()))
			_, err = io.Copy(io.Discard, conn)
			require.NoError(t, ignoreReset(err), "the relay hangs up")
		})
	}
	check()
	require.NotContains(t, s.logged.String(), "level=ERROR")
}

// ignoreReset is nil unless err is a timeout.
func ignoreReset(err error) error {
	if network, ok := err.(net.Error); ok && network.Timeout() {
		return err
	}
	return nil
}

// mangler corrupts what a client writes once it is told to.
type mangler struct {
	net.Conn
	mu   sync.Mutex
	with []byte
}

func (m *mangler) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.with != nil {
		_, err := m.Conn.Write(m.with)
		return len(p), err
	}
	return m.Conn.Write(p)
}

func TestGarbageAfterTheLogin(t *testing.T) {
	s := startRelay(t)
	check := alive(t, s)
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	mangled := &mangler{Conn: raw}
	conn, channels, requests, err := ssh.NewClientConn(mangled, s.address, s.clientConfig(s.key))
	require.NoError(t, err)
	client := ssh.NewClient(conn, channels, requests)
	defer client.Close()
	forward(t, client, "127.0.0.1", 0)
	mangled.mu.Lock()
	mangled.with = []byte(strings.Repeat("\x00\x00\x00\x40garbage", 1000))
	mangled.mu.Unlock()
	_, _, err = client.SendRequest("x", true, nil)
	require.Error(t, err)
	require.Error(t, client.Wait())
	check()
}

func TestGarbageInMessages(t *testing.T) {
	s := startRelay(t)
	check := alive(t, s)
	client := s.dial()
	random := rand.New(rand.NewChaCha8([32]byte{3}))
	for range 300 {
		payload := make([]byte, random.IntN(64))
		for i := range payload {
			payload[i] = byte(random.Uint32() >> (random.Uint32() % 32))
		}
		for _, name := range []string{"tcpip-forward", "cancel-tcpip-forward"} {
			_, _, err := client.SendRequest(name, true, payload)
			require.NoError(t, err)
		}
		_, _, err := client.OpenChannel("direct-tcpip", payload)
		require.Error(t, err)
	}
	check()
}

func TestTenThousandChannels(t *testing.T) {
	s := startRelay(t)
	check := alive(t, s)
	client := s.dial()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	opened := 0
	for range 10_000 {
		channel, requests, err := client.OpenChannel("session", nil)
		if err != nil {
			continue
		}
		opened++
		go ssh.DiscardRequests(requests)
		if opened%2 == 0 {
			_, err = channel.SendRequest("subsystem", false, ssh.Marshal(sshwire.Subsystem{Name: "udp@funnel.internal"}))
			require.NoError(t, err)
		}
		// Neither read from nor closed.
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Greater(t, opened, 0)
	// This process holds both ends; a leak of the relay's would be megabytes.
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(16<<20), "%d opened", opened)
	check()
}

func TestClientsWaitForAnAgentThatDoesNotAnswer(t *testing.T) {
	s := startRelay(t)
	check := alive(t, s)
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	conn, channels, requests, err := ssh.NewClientConn(raw, s.address, s.clientConfig(s.key))
	require.NoError(t, err)
	go ssh.DiscardRequests(requests)
	var offers sync.WaitGroup
	offers.Go(func() {
		for range channels { // received and never answered
		}
	})
	port := forward(t, conn, "127.0.0.1", 0)
	var waiting []*net.TCPConn
	for range maxOpening {
		waiting = append(waiting, connect(t, "127.0.0.1", port))
	}
	require.Eventually(t, func() bool {
		beyond, err := net.DialTimeout("tcp", waiting[0].RemoteAddr().String(), patience)
		if err != nil {
			return true // reset even before Dial has returned
		}
		defer beyond.Close()
		if err := beyond.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
			return false
		}
		_, err = beyond.Read(make([]byte, 1))
		network, timeout := err.(net.Error)
		return err != nil && !(timeout && network.Timeout())
	}, patience, time.Millisecond, "one more than may wait is reset")
	check()

	require.NoError(t, conn.Close())
	for _, client := range waiting {
		requireReset(t, client)
	}
	offers.Wait()
}

func TestClientThatNeverReads(t *testing.T) {
	s := startRelay(t, func(c *Config) {
		c.KeepaliveInterval = 50 * time.Millisecond
		c.KeepaliveCount = 20 // enough for who does answer, on a busy machine
	})
	check := alive(t, s)
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	gate := &gate{Conn: raw}
	conn, channels, requests, err := ssh.NewClientConn(gate, s.address, s.clientConfig(s.key))
	require.NoError(t, err)
	client := ssh.NewClient(conn, channels, requests)
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	public := connect(t, "127.0.0.1", port)
	requireEcho(t, public, "it reads")

	gate.mu.Lock()
	var flood sync.WaitGroup
	flood.Go(func() {
		chunk := make([]byte, 1<<20)
		for {
			if _, err := public.Write(chunk); err != nil {
				return
			}
		}
	})
	for range 10 {
		check()
	}
	flood.Wait() // the link has been given up, so that the flood met a reset
	gate.mu.Unlock()
	s.requireLogged("the peer does not answer")
	check()
}

// gate is a connection that isn't read while its mutex is held.
type gate struct {
	net.Conn
	mu sync.Mutex
}

func (g *gate) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.mu.Lock()
	defer g.mu.Unlock()
	return n, err
}

func TestSlowConnDoesNotStallAnother(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	var stuck sync.WaitGroup
	release, taken := make(chan struct{}), make(chan struct{})
	first := true
	channels := offers(t, client)
	stuck.Go(func() {
		for offer := range channels {
			channel, requests, err := offer.Accept()
			if err != nil {
				continue
			}
			go ssh.DiscardRequests(requests)
			if first {
				first = false // its bytes are never read
				close(taken)
				stuck.Go(func() {
					<-release
					channel.Close()
				})
				continue
			}
			stuck.Go(func() { echo(channel) })
		}
	})
	port := forward(t, client, "127.0.0.1", 0)
	slow := connect(t, "127.0.0.1", port)
	<-taken
	var flood sync.WaitGroup
	flood.Go(func() {
		chunk := make([]byte, 1<<20)
		for {
			if _, err := slow.Write(chunk); err != nil {
				return
			}
		}
	})
	fast := connect(t, "127.0.0.1", port)
	for range 50 {
		requireEcho(t, fast, "not stalled")
	}
	close(release)
	slow.Close()
	flood.Wait()
	client.Close()
	stuck.Wait()
}

func TestEndlessRefusals(t *testing.T) {
	s := startRelay(t)
	check := alive(t, s)
	client := s.dial()
	for range 2000 {
		_, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1", Port: 1}))
		require.NoError(t, err)
	}
	require.Less(t, strings.Count(s.logged.String(), "binding refused"), 50, "the log is spared")
	check()
}

// Connections that don't log in give way to who comes to do so.
func TestSilentConnectionsGiveWay(t *testing.T) {
	s := startRelay(t, func(c *Config) {
		c.Limits.MaxStartups = MaxStartups{Start: 2, Rate: 100, Full: 2}
		c.Limits.Penalties = DefaultPenalties()
	})
	ended := make(chan error, 2)
	for range 2 {
		conn, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer conn.Close()
		go func() {
			_, err := io.Copy(io.Discard, conn)
			ended <- err
		}()
	}
	require.Eventually(t, func() bool { return s.relay.startups.strangers() == 2 }, patience, time.Millisecond)
	// From elsewhere: of a source that has logged in nothing is thought ill.
	elsewhere := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	var client ssh.Conn
	require.Eventually(t, func() bool {
		conn, err := elsewhere.Dial("tcp", s.address)
		if err != nil {
			return false
		}
		client, _, _, err = ssh.NewClientConn(conn, s.address, s.clientConfig(s.key))
		return err == nil
	}, patience, 50*time.Millisecond)
	defer client.Close()
	select {
	case err := <-ended:
		require.NoError(t, ignoreReset(err))
	case <-time.After(patience):
		require.Fail(t, "neither went")
	}
	require.Eventually(t, func() bool {
		s.relay.book.mu.Lock()
		defer s.relay.book.mu.Unlock()
		return len(s.relay.book.sources) == 1
	}, patience, time.Millisecond, "that counts like a login that took too long")
}

func TestWhoDoesNotSpeakSSHIsHungUpOn(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Limits.LoginGraceTime = time.Hour })
	for _, says := range []string{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "\x16\x03\x01", "\r\n", "SSh-2.0-x\r\n"} {
		conn, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, says)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, conn) // which goes on until the relay hangs up
		require.NoError(t, ignoreReset(err), "%q", says)
	}
}

func TestGreetingInPieces(t *testing.T) {
	s := startRelay(t)
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	conn, _, _, err := ssh.NewClientConn(bytewise{raw}, s.address, s.clientConfig(s.key))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// bytewise writes each byte by itself.
type bytewise struct{ net.Conn }

func (b bytewise) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := b.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}
