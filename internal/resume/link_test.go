package resume

import (
	"crypto/ed25519"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// link is an SSH connection over loopback.
type link struct {
	relay, agent ssh.Conn
	offers       <-chan ssh.NewChannel // to the agent
	cut          func()                // both ends of the TCP connection
	down         chan struct{}         // closed when both ends have noticed
}

var hostKey = sync.OnceValue(func() ssh.Signer {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		panic(err)
	}
	return signer
})

// tcp returns both ends of a TCP connection over loopback.
func tcp(t testing.TB) (near, far *net.TCPConn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	dialled, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		dialled.Close()
		accepted.Close()
	})
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

// newLink returns a link that is cut when an end has written more than its
// budget, in the middle of a packet as likely as not. A budget of 0 is endless.
// It is nil if the cut came before the login was through.
func newLink(t testing.TB, relayBudget, agentBudget int64) *link {
	server, client := tcp(t)
	l := &link{down: make(chan struct{})}
	l.cut = func() {
		_ = server.SetLinger(0)
		_ = client.SetLinger(0)
		server.Close()
		client.Close()
	}
	serverConfig := sshwire.ServerConfig("test")
	serverConfig.NoClientAuth = true
	serverConfig.AddHostKey(hostKey())
	clientConfig := sshwire.ClientConfig("test")
	clientConfig.HostKeyCallback = ssh.FixedHostKey(hostKey().PublicKey())

	var logins, tasks sync.WaitGroup
	var relay *ssh.ServerConn
	logins.Go(func() {
		transport := newFragile(server, relayBudget)
		conn, channels, requests, err := ssh.NewServerConn(transport, serverConfig)
		if err != nil {
			l.cut()
			return
		}
		transport.ssh.Store(&conn.Conn)
		relay = conn
		tasks.Go(func() { ssh.DiscardRequests(requests) })
		tasks.Go(func() {
			for channel := range channels {
				_ = channel.Reject(ssh.Prohibited, "")
			}
			l.cut()
		})
	})
	agent, offers, requests, err := ssh.NewClientConn(newFragile(client, agentBudget), "relay", clientConfig)
	if err != nil {
		l.cut()
	}
	logins.Wait()
	if err != nil || relay == nil {
		l.cut()
		if err == nil {
			go ssh.DiscardRequests(requests)
			for range offers {
			}
		}
		tasks.Wait()
		return nil
	}
	tasks.Go(func() {
		ssh.DiscardRequests(requests)
		l.cut()
	})
	l.relay, l.agent, l.offers = relay, agent, offers
	go func() {
		tasks.Wait()
		close(l.down)
	}()
	t.Cleanup(func() {
		l.cut()
		<-l.down
	})
	return l
}

// fragile is a connection that breaks when its budget is used up.
type fragile struct {
	*net.TCPConn
	endless bool
	budget  atomic.Int64
	ssh     atomic.Pointer[ssh.Conn] // once the login is through
}

func newFragile(conn *net.TCPConn, budget int64) *fragile {
	f := &fragile{TCPConn: conn, endless: budget == 0}
	f.budget.Store(budget)
	return f
}

func (f *fragile) Write(p []byte) (int, error) {
	if f.endless {
		return f.TCPConn.Write(p)
	}
	left := f.budget.Add(-int64(len(p)))
	if left >= 0 {
		return f.TCPConn.Write(p)
	}
	n, _ := f.TCPConn.Write(p[:max(0, left+int64(len(p)))])
	if rand.IntN(2) == 0 {
		_ = f.SetLinger(0)
	}
	f.Close()
	return n, net.ErrClosed
}

// Read makes x/crypto/ssh notice that it can't write any more before it reports
// that there is nothing to read. Otherwise an OpenChannel that comes just when
// x/crypto/ssh has given up all channels waits for ever: the first write that
// fails is not reported to who wrote.
func (f *fragile) Read(p []byte) (int, error) {
	n, err := f.TCPConn.Read(p)
	if err != nil {
		f.Close()
		if conn := f.ssh.Load(); conn != nil {
			_, _, _ = (*conn).SendRequest("", false, nil)
		}
	}
	return n, err
}
