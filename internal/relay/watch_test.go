package relay

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/sshwire"
)

// writeKeys replaces the authorized keys.
func (s *testbed) writeKeys(lines ...string) {
	s.t.Helper()
	next := s.keys + ".next"
	require.NoError(s.t, os.WriteFile(next, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	require.NoError(s.t, os.Rename(next, s.keys))
}

func (s *testbed) line(options string, key ssh.Signer) string {
	return strings.TrimSpace(options + " " + strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey()))))
}

func TestRevokedKeyLosesItsLinksAndConns(t *testing.T) {
	s := startRelay(t)
	friend := newKey(t)
	s.authorize(friend, "")
	check := alive(t, s)
	client := s.dialWith(s.clientConfig(friend))
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	public := connect(t, "127.0.0.1", port)
	requireEcho(t, public, "before")

	s.writeKeys(s.line("", s.key))
	require.Error(t, client.Wait())
	requireReset(t, public)
	s.requireLogged(`level=WARN msg="access revoked"`)
	require.Eventually(t, func() bool { return !accepts(port) }, patience, time.Millisecond)
	check()
}

func accepts(port uint16) bool {
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// requireTurnedAway wants a client to be reset, be it before its connect returns.
func requireTurnedAway(t testing.TB, port uint16) {
	t.Helper()
	require.False(t, echoes(port))
}

// echoes says whether a client of a public port is served.
func echoes(port uint16) bool {
	conn, err := net.DialTCP("tcp", nil, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		return false
	}
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(patience)) != nil {
		return false
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return false
	}
	_, err = conn.Read(make([]byte, 1))
	return err == nil
}

func TestEditedKeyLosesWhatIsNoLongerPermitted(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	serveEach(t, client, echo)
	kept, lost := forward(t, client, "127.0.0.1", 0), forward(t, client, "127.0.0.1", 0)
	stays, goes := connect(t, "127.0.0.1", kept), connect(t, "127.0.0.1", lost)
	requireEcho(t, stays, "before")
	requireEcho(t, goes, "before")

	s.writeKeys(s.line(`permitlisten="`+(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(kept)}).String()+`"`, s.key))
	requireReset(t, goes)
	require.Eventually(t, func() bool { return !accepts(lost) }, patience, time.Millisecond)
	s.requireLogged(`level=WARN msg="binding revoked"`)
	requireEcho(t, stays, "after")
	requireEcho(t, connect(t, "127.0.0.1", kept), "another")
	ok, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(lost)}))
	require.NoError(t, err)
	require.False(t, ok)
}

func TestKeyThatExpiresLosesItsLinks(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	expiry := time.Now().Add(2 * time.Second).UTC().Format("20060102150405Z")
	s.writeKeys(s.line(`expiry-time="`+expiry+`"`, s.key))
	require.Error(t, client.Wait())
	s.requireLogged("it expired at")
}

func TestDirectConnsEndWithTheirPermission(t *testing.T) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer target.Close()
	s := startRelay(t)
	s.writeKeys(s.line(`permitopen="`+target.Addr().String()+`"`, s.key))
	client := s.dial()
	conn, err := client.Dial("tcp", target.Addr().String())
	require.NoError(t, err)
	s.writeKeys(s.line("", s.key))
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = client.Dial("tcp", target.Addr().String())
	require.ErrorContains(t, err, "no permitopen")
}

func TestClientNetworks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "networks")
	networks, err := access.NewNetworks(path, nil)
	require.NoError(t, err)
	s := startRelay(t, func(c *Config) { c.Networks = networks })
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	before := connect(t, "127.0.0.1", port)
	requireEcho(t, before, "before")
	require.NoError(t, os.WriteFile(path, []byte("deny 127.0.0.1\n"), 0o600))
	requireReset(t, before)
	requireTurnedAway(t, port)
	s.requireLogged("its network is not allowed")
	require.NoError(t, os.WriteFile(path, []byte("deny 127.0.0.2\n"), 0o600))
	require.Eventually(t, func() bool { return echoes(port) }, patience, 10*time.Millisecond)
}

func TestLimitsOfAKey(t *testing.T) {
	s := startRelay(t)
	s.writeKeys(s.line(`max-forwards="1",max-connections="2",max-bandwidth="100M"`, s.key))
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	ok, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1"}))
	require.NoError(t, err)
	require.False(t, ok)
	s.requireLogged("this key may have 1 forwarded ports at a time and has them")
	first, second := connect(t, "127.0.0.1", port), connect(t, "127.0.0.1", port)
	requireEcho(t, first, strings.Repeat("through the meter ", 10_000))
	requireEcho(t, second, "two")
	requireTurnedAway(t, port)
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return echoes(port) }, patience, 10*time.Millisecond)
	require.True(t, cancelForward(t, client, "127.0.0.1", port))
	forward(t, client, "127.0.0.1", 0)
}

func TestLimitsOfTheRelay(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Limits = Limits{MaxLinks: 2, MaxForwards: 1, MaxConns: 1} })
	client := s.dial()
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	other := s.dial()
	ok, _, err := other.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1"}))
	require.NoError(t, err)
	require.False(t, ok)
	s.requireLogged("the relay has too many forwarded ports")
	requireEcho(t, connect(t, "127.0.0.1", port), "one")
	requireTurnedAway(t, port)
	third, err := ssh.Dial("tcp", s.address, s.clientConfig(s.key))
	if err == nil {
		require.Error(t, third.Wait())
	}
	s.requireLogged("the relay has too many links")
}

// A source that goes on failing is kept out, and others are not.
func TestPenaltiesKeepOut(t *testing.T) {
	penalties := DefaultPenalties()
	penalties.AuthFail = penalties.Min - time.Second // the second one is enough, be it seconds later
	s := startRelay(t, func(c *Config) { c.Limits.Penalties = penalties })
	check := alive(t, s)
	stranger := newKey(t)
	for range 2 {
		_, err := ssh.Dial("tcp", s.address, s.clientConfig(stranger))
		require.ErrorContains(t, err, "unable to authenticate")
	}
	s.requireLogged(`msg="source kept out" source=127.0.0.1/32`)
	_, err := ssh.Dial("tcp", s.address, s.clientConfig(s.key))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "unable to authenticate")
	s.requireLogged("its source is kept out for what it did")
	check()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	raw, err := dialer.Dial("tcp", s.address)
	if err != nil {
		t.Log("no second loopback address here")
		return
	}
	defer raw.Close()
	conn, channels, requests, err := ssh.NewClientConn(raw, s.address, s.clientConfig(s.key))
	require.NoError(t, err)
	require.NoError(t, ssh.NewClient(conn, channels, requests).Close())
}

func TestLoginGraceTime(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Limits.LoginGraceTime = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	for says := "SSH-2.0-"; err == nil; says = "s" { // a slow loris gets its version and then the end
		_, err = conn.Write([]byte(says))
		time.Sleep(5 * time.Millisecond)
	}
	network, ok := err.(net.Error)
	require.False(t, ok && network.Timeout())
	s.requireLogged("login took too long")
}

func TestMaxAuthTries(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Limits.MaxAuthTries = 2 })
	_, err := ssh.Dial("tcp", s.address, s.clientConfig(newKey(t), newKey(t), s.key))
	require.ErrorContains(t, err, "too many authentication failures")
	s.dialWith(s.clientConfig(newKey(t), s.key))
}
