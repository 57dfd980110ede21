package relay

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

func TestOnlyAuthorizedKeysLogIn(t *testing.T) {
	s := startRelay(t)
	stranger := newKey(t)
	for name, auth := range map[string][]ssh.AuthMethod{
		"another key": {ssh.PublicKeys(stranger)},
		"a password":  {ssh.Password("")},
		"nothing":     {},
		"keyboard": {ssh.KeyboardInteractive(func(string, string, []string, []bool) ([]string, error) {
			return nil, nil
		})},
	} {
		t.Run(name, func(t *testing.T) {
			config := s.clientConfig()
			config.Auth = auth
			_, err := ssh.Dial("tcp", s.address, config)
			require.ErrorContains(t, err, "unable to authenticate")
		})
	}
	s.requireLogged(`level=WARN msg="login refused"`)
	s.requireLogged(ssh.FingerprintSHA256(stranger.PublicKey()))

	// A new line counts at once, and any user name will do.
	s.authorize(stranger, "")
	config := s.clientConfig(stranger)
	config.User = "nobody in particular"
	s.dialWith(config)
}

func TestGrantIsThatOfTheKeyUsed(t *testing.T) {
	s := startRelay(t)
	other := newKey(t)
	port := freePort(t)
	s.authorize(other, `permitlisten="127.0.0.1:`+strconv.Itoa(int(port))+`"`)
	// The first key that is shown isn't authorized, the second is used, and the
	// third one, which may do more, is not.
	client := s.dialWith(s.clientConfig(newKey(t), other, s.key))
	require.Equal(t, port, forward(t, client, "127.0.0.1", 0))
	require.Contains(t, s.logged.String(), "fingerprint="+ssh.FingerprintSHA256(other.PublicKey()))
	require.NotContains(t, s.logged.String(), "fingerprint="+ssh.FingerprintSHA256(s.key.PublicKey()))
}

func TestLogOfALink(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	port := forward(t, client, "127.0.0.1", 0)
	require.True(t, cancelForward(t, client, "127.0.0.1", port))
	require.NoError(t, client.Close())
	for _, want := range []string{
		`level=INFO msg="link opened" remote=127.0.0.1:`, ` key=nas fingerprint=SHA256:`, ` user=tunnel client=SSH-2.0-stock_client`,
		`level=INFO msg="binding opened"`, `level=INFO msg="binding closed"`,
		`level=INFO msg="link closed"`, "duration=", "cause=closed",
	} {
		require.Eventually(t, func() bool { return strings.Contains(s.logged.String(), want) }, patience, time.Millisecond, want)
	}
}

func TestVersionString(t *testing.T) {
	s := startRelay(t)
	require.Equal(t, sshwire.RelayVersion("test"), string(s.dial().ServerVersion()))
}

func TestGlobalRequests(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	ok, _, err := client.SendRequest("keepalive@openssh.com", true, nil)
	require.NoError(t, err)
	require.True(t, ok)
	for _, name := range []string{"streamlocal-forward@openssh.com", "no-more-sessions@openssh.com", "", "hostkeys-prove-00@openssh.com"} {
		ok, reply, err := client.SendRequest(name, true, []byte("anything"))
		require.NoError(t, err)
		require.False(t, ok, name)
		require.Empty(t, reply)
	}
}

func TestSilentClientIsGivenUp(t *testing.T) {
	s := startRelay(t, func(c *Config) {
		c.KeepaliveInterval = 20 * time.Millisecond
		c.KeepaliveCount = 25 // enough for who does answer, on a busy machine
	})
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer raw.Close()
	conn, channels, requests, err := ssh.NewClientConn(raw, s.address, s.clientConfig(s.key))
	require.NoError(t, err)
	defer conn.Close()
	// Requests are answered until the port is there; from then on neither they nor
	// channels are.
	bound, silent := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(silent)
		for {
			select {
			case request, more := <-requests:
				if !more {
					return
				}
				_ = request.Reply(false, nil)
			case <-bound:
				return
			}
		}
	}()
	port := forward(t, conn, "127.0.0.1", 0)
	close(bound)
	<-silent
	require.Error(t, conn.Wait())
	s.requireLogged("the peer does not answer for 500ms")
	for range requests {
	}
	for range channels {
	}
	again := s.dial()
	require.Eventually(t, func() bool {
		ok, _, _ := again.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(port)}))
		return ok
	}, patience, 10*time.Millisecond)
}

func TestTooManyConnectionsOfOneSource(t *testing.T) {
	s := startRelay(t)
	client := s.dial() // authenticated ones don't count, once the relay knows, too
	require.Eventually(t, func() bool { return s.relay.startups.strangers() == 0 }, patience, time.Millisecond)
	var idle []net.Conn
	for range maxStartupsPerSource {
		conn, err := net.Dial("tcp", s.address)
		require.NoError(t, err)
		defer conn.Close()
		// It is let in: the relay shows its version.
		_, err = conn.Read(make([]byte, 8))
		require.NoError(t, err)
		idle = append(idle, conn)
	}
	beyond, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	defer beyond.Close()
	_, err = beyond.Read(make([]byte, 8))
	require.Error(t, err)
	require.Contains(t, s.logged.String(), "its source has too many connections that are not logged in")
	_, _, err = client.SendRequest("keepalive@openssh.com", true, nil)
	require.NoError(t, err)

	for _, conn := range idle {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool {
		client, err := ssh.Dial("tcp", s.address, s.clientConfig(s.key))
		if err == nil {
			client.Close()
		}
		return err == nil
	}, patience, 10*time.Millisecond)
}
