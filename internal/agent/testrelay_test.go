package agent

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// testRelay is a small SSH server with tcpip-forward, and what a test wants
// to go wrong.
type testRelay struct {
	t       testing.TB
	address string
	hostKey ssh.Signer

	version    string                                                   // of the SSH version string; "" is funnel_relay
	accepts    func(ssh.PublicKey) bool                                 // nil accepts every key
	refuse     func(host string, port uint32) (no string, refused bool) // nil refuses nothing
	subsystem  bool                                                     // grants any subsystem and echoes on it
	lane       func(ssh.Channel)                                        // or serves it so, until that returns
	lie        func(host string, port uint32) (string, uint32)          // what a channel claims to be for; nil is the truth
	testPorts  func() (ok bool, answer []byte)                          // to a request for test ports; nil refuses
	frozen     atomic.Bool                                              // new and old links aren't answered
	logins     atomic.Int32
	asked      chan uint32 // the ports asked for, as far as there is room
	rejections chan *ssh.OpenChannelError

	mu       sync.Mutex
	listener net.Listener
	links    map[net.Conn]bool
	tasks    sync.WaitGroup
}

func newTestRelay(t testing.TB) *testRelay {
	return &testRelay{
		t: t, hostKey: newKey(t), asked: make(chan uint32, 64),
		rejections: make(chan *ssh.OpenChannelError, 16), links: make(map[net.Conn]bool),
	}
}

func newKey(t testing.TB) ssh.Signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromSigner(private)
	require.NoError(t, err)
	return signer
}

// start serves on a port that stays the same when the relay is started again.
func (r *testRelay) start() *testRelay {
	address := r.address
	if address == "" {
		address = "127.0.0.1:" + freePort(r.t)
	}
	listener, err := net.Listen("tcp", address)
	require.NoError(r.t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listener = listener
	r.address = listener.Addr().String()
	r.tasks.Go(func() { r.accept(listener) })
	return r
}

// kill ends the relay and every link at once.
func (r *testRelay) kill() {
	r.mu.Lock()
	r.listener.Close()
	for conn := range r.links {
		conn.Close()
	}
	r.mu.Unlock()
	r.tasks.Wait()
}

func (r *testRelay) accept(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.links[conn] = true
		r.mu.Unlock()
		r.tasks.Go(func() {
			defer func() {
				conn.Close()
				r.mu.Lock()
				delete(r.links, conn)
				r.mu.Unlock()
			}()
			r.serve(conn)
		})
	}
}

var errNotAccepted = errors.New("key not accepted")

func (r *testRelay) config() *ssh.ServerConfig {
	version := r.version
	if version == "" {
		version = "funnel_relay_test"
	}
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-" + version,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if r.accepts != nil && !r.accepts(key) {
				return nil, errNotAccepted
			}
			return nil, nil
		},
	}
	config.AddHostKey(r.hostKey)
	return config
}

func (r *testRelay) serve(conn net.Conn) {
	link, channels, requests, err := ssh.NewServerConn(conn, r.config())
	if err != nil {
		return
	}
	defer link.Close()
	r.logins.Add(1)
	r.tasks.Go(func() {
		for channel := range channels {
			r.session(channel)
		}
	})
	var open []net.Listener
	defer func() {
		for _, listener := range open {
			listener.Close()
		}
	}()
	for request := range requests {
		if r.frozen.Load() {
			continue
		}
		if request.Type == "test-ports@funnel.internal" && r.testPorts != nil {
			_ = request.Reply(r.testPorts())
			continue
		}
		if request.Type != "tcpip-forward" {
			_ = request.Reply(false, nil)
			continue
		}
		if listener := r.forward(link, request); listener != nil {
			open = append(open, listener)
		}
	}
}

// forward binds on loopback whatever the address asked for.
func (r *testRelay) forward(link ssh.Conn, request *ssh.Request) net.Listener {
	var asked struct {
		Host string
		Port uint32
	}
	if err := ssh.Unmarshal(request.Payload, &asked); err != nil {
		_ = request.Reply(false, nil)
		return nil
	}
	select {
	case r.asked <- asked.Port:
	default:
	}
	if r.refuse != nil {
		if no, refused := r.refuse(asked.Host, asked.Port); refused {
			_ = request.Reply(false, []byte(no))
			return nil
		}
	}
	at := strconv.Itoa(int(asked.Port))
	if asked.Port == 0 {
		at = freePort(r.t) // which is still free after a new start
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", at))
	if err != nil {
		_ = request.Reply(false, []byte(err.Error()))
		return nil
	}
	port := uint32(listener.Addr().(*net.TCPAddr).Port)
	r.tasks.Go(func() { r.clients(link, listener, asked.Host, port) })
	var reply []byte
	if asked.Port == 0 {
		reply = ssh.Marshal(struct{ Port uint32 }{port})
	}
	_ = request.Reply(true, reply)
	return listener
}

// clients offers each client that connects to the agent.
func (r *testRelay) clients(link ssh.Conn, listener net.Listener, host string, port uint32) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		r.tasks.Go(func() {
			defer client.Close()
			r.offer(link, client.(*net.TCPConn), host, port)
		})
	}
}

func (r *testRelay) offer(link ssh.Conn, client *net.TCPConn, host string, port uint32) {
	if r.lie != nil {
		host, port = r.lie(host, port)
	}
	channel, requests, err := link.OpenChannel("forwarded-tcpip", ssh.Marshal(struct {
		Host       string
		Port       uint32
		ClientHost string
		ClientPort uint32
	}{host, port, "192.0.2.1", 4711}))
	if err != nil {
		if rejected, ok := errors.AsType[*ssh.OpenChannelError](err); ok {
			r.rejections <- rejected
		}
		_ = client.SetLinger(0)
		return
	}
	defer channel.Close()
	r.tasks.Go(func() { ssh.DiscardRequests(requests) })
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(channel, client)
		_ = channel.CloseWrite()
	})
	_, _ = io.Copy(client, channel)
	_ = client.CloseWrite()
	up.Wait()
}

// session grants a subsystem, if the relay has any, and nothing else.
func (r *testRelay) session(offer ssh.NewChannel) {
	if offer.ChannelType() != "session" {
		_ = offer.Reject(ssh.UnknownChannelType, "no")
		return
	}
	channel, requests, err := offer.Accept()
	if err != nil {
		return
	}
	r.tasks.Go(func() {
		defer channel.Close()
		serve := r.lane
		if serve == nil {
			serve = func(channel ssh.Channel) { _, _ = io.Copy(channel, channel) }
		}
		r.tasks.Go(func() {
			serve(channel)
			channel.Close()
		})
		for request := range requests {
			_ = request.Reply(r.subsystem && request.Type == "subsystem", nil)
		}
	})
}
