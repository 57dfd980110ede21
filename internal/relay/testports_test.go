package relay

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/sshwire"
)

// askTest asks for test ports.
func askTest(t testing.TB, client ssh.Conn) sshwire.TestPorts {
	t.Helper()
	ok, reply, err := client.SendRequest(sshwire.RequestTestPorts, true, nil)
	require.NoError(t, err)
	require.True(t, ok, string(reply))
	ports, err := sshwire.ParseTestPorts(reply)
	require.NoError(t, err)
	return ports
}

// agentConfig is the login of a funnel agent, who is told why.
func (s *testbed) agentConfig(key ssh.Signer) *ssh.ClientConfig {
	config := s.clientConfig(key)
	config.ClientVersion = sshwire.AgentVersion("test")
	return config
}

// dialTest connects to a test port from an address of this machine.
func dialTest(t testing.TB, network, from string, port uint32) net.Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: patience}
	switch network {
	case "tcp":
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	case "udp":
		dialer.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.Dial(network, net.JoinHostPort("127.0.0.1", itoa(port)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// requireUDPEcho wants just what was sent to come back, after everything that
// was sent before went unanswered.
func requireUDPEcho(t testing.TB, conn net.Conn, datagram string) {
	t.Helper()
	_, err := conn.Write([]byte(datagram))
	require.NoError(t, err)
	b := make([]byte, 2*len(datagram))
	n, err := conn.Read(b)
	require.NoError(t, err)
	require.Equal(t, datagram, string(b[:n]))
}

func TestTestPortsAnswer(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	ports := askTest(t, client)
	require.NotZero(t, ports.TCPPort)
	require.NotZero(t, ports.UDPPort)
	require.Equal(t, uint32(testTime/time.Second), ports.Seconds)
	require.Empty(t, ports.Note)

	tcp := dialTest(t, "tcp", "127.0.0.1", ports.TCPPort)
	requireEcho(t, tokenConn(t, tcp, ports.Token+"e"), "hello")

	udp := dialTest(t, "udp", "127.0.0.1", ports.UDPPort)
	requireUDPEcho(t, udp, ports.Token)
	requireUDPEcho(t, udp, ports.Token+"hello")

	upload := tokenConn(t, dialTest(t, "tcp", "127.0.0.1", ports.TCPPort), ports.Token+"u")
	_, err := upload.Write(make([]byte, 1000))
	require.NoError(t, err)
	total := make([]byte, 8)
	_, err = io.ReadFull(upload, total)
	require.NoError(t, err)
	require.NotZero(t, total)

	download := tokenConn(t, dialTest(t, "tcp", "127.0.0.1", ports.TCPPort), ports.Token+"d")
	_, err = io.ReadFull(download, make([]byte, 1<<20))
	require.NoError(t, err)
}

// tokenConn shows who it is.
func tokenConn(t testing.TB, conn net.Conn, begin string) net.Conn {
	t.Helper()
	_, err := conn.Write([]byte(begin))
	require.NoError(t, err)
	return conn
}

func TestTestPortsAnswerNobodyElse(t *testing.T) {
	s := startRelay(t)
	ports := askTest(t, s.dial())
	wrong := bytes.Repeat([]byte{0}, sshwire.TestTokenSize)

	for name, begin := range map[string]struct{ from, token string }{
		"another address": {"127.0.0.2", ports.Token},
		"a wrong token":   {"127.0.0.1", string(wrong)},
	} {
		t.Run("tcp, "+name, func(t *testing.T) {
			conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(begin.from)}}).Dial("tcp", net.JoinHostPort("127.0.0.1", itoa(ports.TCPPort)))
			if err != nil {
				return // reset before the connect returned
			}
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
			_, _ = conn.Write([]byte(begin.token + "ehello"))
			n, err := conn.Read(make([]byte, 100))
			require.Zero(t, n)
			require.Error(t, err)
			require.False(t, isTimeout(err), "it was cut off")
		})
	}

	// What comes from another address isn't answered: the echo for the client's
	// own datagram, sent later, shows that it was read.
	stranger := dialTest(t, "udp", "127.0.0.2", ports.UDPPort)
	_, err := stranger.Write([]byte(ports.Token + "hello"))
	require.NoError(t, err)
	own := dialTest(t, "udp", "127.0.0.1", ports.UDPPort)
	for _, unanswered := range []string{"", "short", ports.Token[:15], string(wrong) + "hello"} {
		_, err := own.Write([]byte(unanswered))
		require.NoError(t, err)
	}
	requireUDPEcho(t, own, ports.Token+"mine")
	require.NoError(t, stranger.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = stranger.Read(make([]byte, 100))
	require.True(t, isTimeout(err), "%v", err)
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func itoa(port uint32) string { return (&net.TCPAddr{Port: int(port)}).String()[1:] }

func TestTestPortsClose(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	first := askTest(t, client)
	conn := tokenConn(t, dialTest(t, "tcp", "127.0.0.1", first.TCPPort), first.Token+"e")
	requireEcho(t, conn, "hello")

	second := askTest(t, client)
	require.NotEqual(t, first.Token, second.Token)
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, isTimeout(err), "the pair before is closed")

	conn = tokenConn(t, dialTest(t, "tcp", "127.0.0.1", second.TCPPort), second.Token+"e")
	requireEcho(t, conn, "hello")
	require.NoError(t, client.Close())
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, isTimeout(err), "the link's end is the ports'")
	require.Eventually(t, func() bool { return !accepts(uint16(second.TCPPort)) }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return s.relay.counters.forwards.Count() == 0 }, patience, time.Millisecond, "their places are free")
}

func TestTestPortsKeepToTheKeysLimits(t *testing.T) {
	s := startRelay(t)
	agent := func(options string) ssh.Conn {
		key := newKey(t)
		s.authorize(key, options)
		return s.dialWith(s.agentConfig(key))
	}
	refused := func(client ssh.Conn, payload []byte) sshwire.Refusal {
		ok, reply, err := client.SendRequest(sshwire.RequestTestPorts, true, payload)
		require.NoError(t, err)
		require.False(t, ok)
		why, said := sshwire.ParseRefusal(reply)
		require.True(t, said)
		return why
	}

	why := refused(agent("restrict"), nil)
	require.True(t, why.Final)
	require.Contains(t, why.Reason, "may not forward ports")

	why = refused(agent(""), []byte{0})
	require.Contains(t, why.Reason, "payload")

	ports := askTest(t, agent(`max-forwards="1"`))
	require.NotZero(t, ports.TCPPort)
	require.Zero(t, ports.UDPPort)
	require.Contains(t, ports.Note, "may have 1 forwarded ports")

	// As many at a time as the key may have: those before don't count.
	two := agent(`max-forwards="2"`)
	for range 3 {
		ports = askTest(t, two)
		require.NotZero(t, ports.UDPPort, ports.Note)
	}

	// What is taken is said as it is of a forward.
	taken, err := net.ListenUDP("udp", nil)
	require.NoError(t, err)
	defer taken.Close()
	port := taken.LocalAddr().(*net.UDPAddr).Port
	ports = askTest(t, agent(fmt.Sprintf(`permitlisten="1024-65535/tcp",permitlisten="%d/udp"`, port)))
	require.Zero(t, ports.UDPPort)
	require.Equal(t, fmt.Sprintf("bind one of the ports %d: UDP port %d of the relay is in use", port, port), ports.Note)

	// A stock client isn't sent what RFC 4254 leaves empty.
	stock := newKey(t)
	s.authorize(stock, "restrict")
	ok, reply, err := s.dialWith(s.clientConfig(stock)).SendRequest(sshwire.RequestTestPorts, true, nil)
	require.NoError(t, err)
	require.False(t, ok)
	require.Empty(t, reply)
}

func TestTestPortsEndWithThePermission(t *testing.T) {
	s := startRelay(t)
	key := newKey(t)
	s.writeKeys(s.line("", key))
	client := s.dialWith(s.clientConfig(key))
	ports := askTest(t, client)
	conn := tokenConn(t, dialTest(t, "tcp", "127.0.0.1", ports.TCPPort), ports.Token+"e")
	requireEcho(t, conn, "before")

	s.writeKeys(s.line(`permitlisten="1024"`, key))
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, isTimeout(err))
	s.requireLogged("test ports revoked")
}

func TestTestPortsKeepClientNetworksOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks")
	networks, err := access.NewNetworks(path, nil)
	require.NoError(t, err)
	s := startRelay(t, func(c *Config) { c.Networks = networks })
	ports := askTest(t, s.dial())
	conn := tokenConn(t, dialTest(t, "tcp", "127.0.0.1", ports.TCPPort), ports.Token+"e")
	requireEcho(t, conn, "before")
	require.NoError(t, os.WriteFile(path, []byte("deny 127.0.0.1\n"), 0o600))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	require.False(t, isTimeout(err), "it is cut off")
	requireTurnedAway(t, uint16(ports.TCPPort))
}
