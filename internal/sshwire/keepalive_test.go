package sshwire

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"funnel/internal/tcpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeConn is a connection whose peer answers as a test likes.
type fakeConn struct {
	ssh.Conn
	answer func(n int) (answered bool) // n counts the questions from 1
	closed chan struct{}

	mu    sync.Mutex
	asked int
}

func newFakeConn(answer func(n int) bool) *fakeConn {
	return &fakeConn{answer: answer, closed: make(chan struct{})}
}

func (c *fakeConn) SendRequest(name string, wantReply bool, payload []byte) (bool, []byte, error) {
	if name != "keepalive@openssh.com" || !wantReply || len(payload) > 0 {
		panic("not a keepalive")
	}
	c.mu.Lock()
	c.asked++
	answered := c.answer(c.asked)
	c.mu.Unlock()
	if answered {
		return false, nil, nil
	}
	<-c.closed
	return false, nil, io.EOF
}

func (c *fakeConn) Close() error {
	close(c.closed)
	return nil
}

func TestKeepaliveGivesUpASilentPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn(func(n int) bool { return n <= 2 })
		begun := time.Now()
		var verdict error
		Keepalive(t.Context(), nil, conn, 10*time.Second, 3, func(err error) {
			verdict = err
			conn.Close()
		})
		require.ErrorIs(t, verdict, ErrSilent)
		require.ErrorContains(t, verdict, "30s")
		// Asked at 10, 20 and 30 s; not answered at 40, 50 and 60.
		require.Equal(t, time.Minute, time.Since(begun))
		require.Equal(t, 3, conn.asked)
	})
}

func TestKeepaliveAsksForAsLongAsItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn(func(int) bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		Keepalive(ctx, nil, conn, 10*time.Second, 1, func(error) { t.Error("given up") })
		require.InDelta(t, 360, conn.asked, 1)
	})
}

func TestKeepaliveEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn(func(int) bool { return false })
		time.AfterFunc(15*time.Second, func() { conn.Close() })
		Keepalive(t.Context(), nil, conn, 10*time.Second, 3, func(error) { t.Error("given up") })
		require.Equal(t, 1, conn.asked)
	})
}

func TestKeepaliveEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newFakeConn(func(int) bool { return false })
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		context.AfterFunc(ctx, func() { conn.Close() })
		Keepalive(ctx, nil, conn, 10*time.Second, 3, func(error) { t.Error("given up") })
		require.Equal(t, 1, conn.asked)
	})
}

func TestKeepaliveTurnedOff(t *testing.T) {
	conn := newFakeConn(func(int) bool { panic("asked") })
	Keepalive(t.Context(), nil, conn, 0, 3, nil)
	Keepalive(t.Context(), nil, conn, time.Second, 0, nil)
}

// linked returns both ends of an SSH connection over loopback TCP. What the
// server's end gets is discarded, unless frozen.
func linked(t *testing.T) (client ssh.Conn, transport *tcpio.Conn, server net.Conn, frozen *sync.Mutex) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromSigner(private)
	require.NoError(t, err)
	config := ServerConfig("test")
	config.NoClientAuth = true
	config.AddHostKey(signer)

	var tasks sync.WaitGroup
	raw, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	server, err = listener.Accept()
	require.NoError(t, err)
	frozen = &sync.Mutex{}
	tasks.Go(func() {
		conn, channels, requests, err := ssh.NewServerConn(&freezable{server, frozen}, config)
		if err != nil {
			return
		}
		tasks.Go(func() { ssh.DiscardRequests(requests) })
		tasks.Go(func() {
			for channel := range channels {
				accepted, requests, err := channel.Accept()
				if err != nil {
					continue
				}
				NewChannel(accepted, requests)
				switch channel.ChannelType() {
				case "end":
					_ = accepted.CloseWrite()
				case "close":
					_ = accepted.Close()
				}
			}
		})
		_ = conn.Wait()
	})
	clientConfig := ClientConfig("test")
	clientConfig.HostKeyCallback = ssh.FixedHostKey(signer.PublicKey())
	transport = tcpio.NewConn(raw)
	client, channels, requests, err := ssh.NewClientConn(transport, "relay", clientConfig)
	require.NoError(t, err)
	require.True(t, IsRelay(client.ServerVersion()))
	tasks.Go(func() { ssh.DiscardRequests(requests) })
	tasks.Go(func() {
		for range channels {
		}
	})
	t.Cleanup(func() {
		client.Close()
		server.Close()
		tasks.Wait()
	})
	return client, transport, server, frozen
}

// freezable is a connection that isn't read while its mutex is held.
type freezable struct {
	net.Conn
	frozen *sync.Mutex
}

func (f *freezable) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	f.frozen.Lock()
	defer f.frozen.Unlock()
	return n, err
}

func TestKeepaliveOfALink(t *testing.T) {
	client, transport, _, frozen := linked(t)
	ctx, cancel := context.WithCancel(t.Context())
	dead := make(chan error, 1)
	var watch sync.WaitGroup
	watch.Go(func() {
		Keepalive(ctx, transport, client, 5*time.Millisecond, 200, func(err error) {
			dead <- err
			client.Close()
		})
	})
	// Nothing happens to a link that is fine, as long as we look.
	for range 20 {
		_, _, err := client.SendRequest("something", true, nil)
		require.NoError(t, err)
	}
	require.Empty(t, dead)

	frozen.Lock()
	require.ErrorIs(t, <-dead, ErrSilent)
	frozen.Unlock()
	watch.Wait()
	cancel()
}

func TestKeepaliveNoticesAPeerThatDoesNotRead(t *testing.T) {
	client, transport, _, frozen := linked(t)
	frozen.Lock()
	defer frozen.Unlock()

	// Fill every buffer on the way, so that the question itself is stuck.
	var writer sync.WaitGroup
	stuck := make(chan struct{})
	writer.Go(func() {
		defer close(stuck)
		for {
			if _, _, err := client.SendRequest("filler", false, make([]byte, 30_000)); err != nil {
				return
			}
		}
	})
	dead := make(chan error, 1)
	Keepalive(t.Context(), transport, client, 10*time.Millisecond, 5, func(err error) {
		dead <- err
		client.Close()
	})
	require.ErrorIs(t, <-dead, ErrSilent)
	<-stuck
	writer.Wait()
}

func TestTrafficIsASignOfLife(t *testing.T) {
	client, transport, _, frozen := linked(t)
	if _, ok := tcpio.NewSocket(transport).Info(); !ok {
		require.False(t, newTraffic(transport).moved(), "nothing is known on this system")
		return
	}
	watched := newTraffic(transport)
	require.False(t, watched.moved())
	_, _, err := client.SendRequest("something", true, nil)
	require.NoError(t, err)
	require.True(t, watched.moved(), "the answer has arrived")
	require.False(t, watched.moved())

	frozen.Lock()
	defer frozen.Unlock()
	_, _, err = client.SendRequest("something", false, nil)
	require.NoError(t, err)
	require.Never(t, watched.moved, 50*time.Millisecond, 5*time.Millisecond, "little sent, even if acknowledged, is no sign")
}

func TestKeepaliveAsksNothingWhileThePeerTalks(t *testing.T) {
	client, transport, _, _ := linked(t)
	if _, ok := tcpio.NewSocket(transport).Info(); !ok {
		return // nothing is known of the traffic on this system
	}
	silent := newFakeConn(func(int) bool { return false })
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		Keepalive(t.Context(), transport, silent, 500*time.Millisecond, 3, func(error) { silent.Close() })
	}()
	var pause time.Duration // the longest, as the machine may be busy
	for begun, last := time.Now(), time.Now(); time.Since(begun) < 1200*time.Millisecond; last = time.Now() {
		_, _, err := client.SendRequest("something", true, nil)
		require.NoError(t, err)
		pause = max(pause, time.Since(last))
	}
	silent.mu.Lock()
	asked := silent.asked
	silent.mu.Unlock()
	if pause < 100*time.Millisecond {
		require.Zero(t, asked)
	}
	<-watch // it is asked once the talk is over, and given up
	require.Equal(t, 1, silent.asked)
}
