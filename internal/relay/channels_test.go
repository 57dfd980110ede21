package relay

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
	"funnel/proto"
)

func TestNoShellAndNoCommands(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	for name, start := range map[string]func(*ssh.Session) error{
		"shell": func(session *ssh.Session) error { return session.Shell() },
		"exec":  func(session *ssh.Session) error { return session.Start("true") },
	} {
		t.Run(name, func(t *testing.T) {
			session, err := client.NewSession()
			require.NoError(t, err)
			require.Error(t, session.RequestPty("xterm", 80, 24, nil))
			require.Error(t, session.Setenv("LANG", "C"))
			var stdout, stderr bytes.Buffer
			session.Stdout, session.Stderr = &stdout, &stderr
			require.NoError(t, start(session))
			exit, ok := session.Wait().(*ssh.ExitError)
			require.True(t, ok)
			require.Equal(t, 1, exit.ExitStatus())
			require.Empty(t, stdout.String())
			require.Contains(t, stderr.String(), "only forwards ports")
		})
	}
}

func TestOtherSessionRequestsAreRefused(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	channel, requests, err := client.OpenChannel("session", nil)
	require.NoError(t, err)
	go ssh.DiscardRequests(requests)
	for _, name := range []string{"pty-req", "x11-req", "auth-agent-req@openssh.com", "env", "subsystem", "signal", ""} {
		ok, err := channel.SendRequest(name, true, ssh.Marshal(sshwire.Subsystem{Name: "sftp"}))
		require.NoError(t, err)
		require.False(t, ok, name)
	}
	ok, err := channel.SendRequest("subsystem", true, []byte{0, 0})
	require.NoError(t, err)
	require.False(t, ok, "malformed")
	require.NoError(t, channel.Close())
}

func TestSubsystem(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	channel, requests, err := client.OpenChannel("session", nil)
	require.NoError(t, err)
	closed := sshwire.NewChannel(channel, requests).Closed()
	ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem}))
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = channel.SendRequest("subsystem", true, ssh.Marshal(sshwire.Subsystem{Name: proto.Subsystem}))
	require.NoError(t, err)
	require.False(t, ok, "one is enough")
	ok, err = channel.SendRequest("shell", true, nil)
	require.NoError(t, err)
	require.False(t, ok)

	// What isn't a hello is answered and ends the lane, and nothing else.
	_, err = channel.Write(bytes.Repeat([]byte{0xff}, 4096))
	require.NoError(t, err)
	answer, err := io.ReadAll(channel)
	require.NoError(t, err)
	require.NotEmpty(t, answer)
	<-closed
	_, _, err = client.SendRequest("keepalive@openssh.com", true, nil)
	require.NoError(t, err)
}

func TestUnknownChannelsAreRejected(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	for _, kind := range []string{"x11", "forwarded-tcpip", "direct-streamlocal@openssh.com", "tun@openssh.com", ""} {
		_, _, err := client.OpenChannel(kind, nil)
		rejected, ok := err.(*ssh.OpenChannelError)
		require.True(t, ok, "%v", err)
		require.Equal(t, ssh.UnknownChannelType, rejected.Reason)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	s := startRelay(t)
	client := s.dial()
	var open []ssh.Channel
	for range maxSessions {
		channel, requests, err := client.OpenChannel("session", nil)
		require.NoError(t, err)
		go ssh.DiscardRequests(requests)
		open = append(open, channel)
	}
	_, _, err := client.OpenChannel("session", nil)
	rejected, ok := err.(*ssh.OpenChannelError)
	require.True(t, ok)
	require.Equal(t, ssh.ResourceShortage, rejected.Reason)
	for _, channel := range open {
		require.NoError(t, channel.Close())
	}
}

func TestDirectConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var server sync.WaitGroup
	defer server.Wait()
	defer listener.Close()
	server.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			server.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	target := listener.Addr().String()

	s := startRelay(t)
	_, err = s.dial().Dial("tcp", target)
	rejected, ok := err.(*ssh.OpenChannelError)
	require.True(t, ok, "%v", err)
	require.Equal(t, ssh.Prohibited, rejected.Reason, "not unless the key says so")

	granted := newKey(t)
	closedPort := freePort(t)
	s.authorize(granted, `permitopen="`+target+`",permitopen="127.0.0.1:`+strconv.Itoa(int(closedPort))+`"`)
	client := s.dialWith(s.clientConfig(granted))
	conn, err := client.Dial("tcp", target)
	require.NoError(t, err)
	requireEcho(t, conn, "through the relay")
	require.NoError(t, conn.Close())

	_, err = client.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(closedPort))))
	rejected, ok = err.(*ssh.OpenChannelError)
	require.True(t, ok, "%v", err)
	require.Equal(t, ssh.ConnectionFailed, rejected.Reason)
	require.Equal(t, "connection refused", rejected.Message)

	for _, payload := range [][]byte{nil, {1, 2, 3}, ssh.Marshal(sshwire.Direct{Address: "", Port: 1})} {
		_, _, err = client.OpenChannel("direct-tcpip", payload)
		rejected, ok = err.(*ssh.OpenChannelError)
		require.True(t, ok, "%v", err)
		require.Equal(t, ssh.ConnectionFailed, rejected.Reason)
	}
}
