package agent

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/forward"
	"funnel/internal/freeport"
	"funnel/internal/instance"
	"funnel/internal/relay"
)

// realRelay is a funnel-relay that can be stopped and started again at its
// address.
type realRelay struct {
	t       testing.TB
	address string
	hostKey ssh.Signer
	key     ssh.Signer // that may log in
	keys    string     // the file it is in
	stop    func()     // and waits
}

func newRealRelay(t testing.TB) *realRelay {
	r := &realRelay{t: t, address: "127.0.0.1:" + freePort(t), hostKey: newKey(t), key: newKey(t), keys: filepath.Join(t.TempDir(), "authorized_keys")}
	require.NoError(t, os.WriteFile(r.keys, ssh.MarshalAuthorizedKey(r.key.PublicKey()), 0o600))
	return r
}

func (r *realRelay) start() *realRelay {
	r.t.Helper()
	policy, err := access.ParsePolicy([]string{freeport.Agent.String()}, nil) // those that are still free after a new start
	require.NoError(r.t, err)
	server, err := relay.New(relay.Config{
		Listen: []string{r.address}, HostKeys: []ssh.Signer{r.hostKey}, Keys: access.NewKeys(r.keys, policy, nil), Version: "test",
	})
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool {
		addresses, err := server.Listen()
		if err == nil {
			r.address = addresses[0].String()
		}
		return err == nil
	}, patience, 10*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Run(ctx)
	}()
	r.stop = func() {
		r.t.Helper()
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			require.Fail(r.t, "the relay doesn't stop")
		}
	}
	r.t.Cleanup(func() { r.stop() })
	return r
}

// line is a TCP path to an address. It can be cut, and it can be frozen: then
// nothing is delivered and nothing closed.
type line struct {
	t        testing.TB
	address  string
	listener net.Listener
	tasks    sync.WaitGroup

	mu     sync.Mutex
	closed bool // guarded by mu, as all below
	open   map[net.Conn]struct{}
	gate   chan struct{} // closed unless the line is frozen
}

func newLine(t testing.TB, to string) *line {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &line{t: t, address: listener.Addr().String(), listener: listener, open: make(map[net.Conn]struct{}), gate: make(chan struct{})}
	close(l.gate)
	l.tasks.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			if !l.enter(near, far) {
				continue
			}
			l.tasks.Go(func() { l.copy(far, near) })
			l.tasks.Go(func() { l.copy(near, far) })
		}
	})
	t.Cleanup(func() {
		l.mu.Lock()
		l.closed = true
		l.mu.Unlock()
		listener.Close()
		l.thaw()
		l.cut()
		l.tasks.Wait()
	})
	return l
}

func (l *line) enter(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		l.open[conn] = struct{}{}
		if l.closed {
			conn.Close()
		}
	}
	return !l.closed
}

func (l *line) copy(to, from net.Conn) {
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		l.mu.Lock()
		gate := l.gate
		l.mu.Unlock()
		<-gate
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	to.Close()
	from.Close()
	l.mu.Lock()
	delete(l.open, from)
	l.mu.Unlock()
}

// cut ends every connection over the line.
func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.open {
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

func (l *line) freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gate = make(chan struct{})
}

func (l *line) thaw() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.gate:
	default:
		close(l.gate)
	}
}

// hiccup freezes the line for a moment.
func (l *line) hiccup() {
	l.freeze()
	time.Sleep(300 * time.Millisecond)
	l.thaw()
}

// used says whether anything is connected over the line.
func (l *line) used() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open) > 0
}

// config is that of an agent of relay r, started for the generation-th time, that
// dials address.
func (r *realRelay) config(address string, generation uint64, specs ...string) Config {
	config := Config{
		Address: address, User: "funnel",
		Auth:     []ssh.AuthMethod{ssh.PublicKeys(r.key)},
		HostKeys: hostKeys{ssh.FixedHostKey(r.hostKey.PublicKey())},
		// A line that is frozen acknowledges for the relay: only an answer shows that
		// nothing goes through.
		KeepaliveInterval: 500 * time.Millisecond, KeepaliveCount: 4,
		Instance:  instance.Instance{Agent: instance.ID{1}, Generation: generation, Run: instance.ID{byte(generation)}},
		TCPResume: time.Minute,
		Version:   "test",
	}
	for _, spec := range specs {
		forwards, err := forward.Parse(forward.TCP, spec)
		require.NoError(r.t, err)
		config.Forwards = append(config.Forwards, forwards...)
	}
	return config
}

// dialPublic connects to a public address.
func dialPublic(t testing.TB, public string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", public, patience)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(3*patience)))
	return conn.(*net.TCPConn)
}

// exchange sends a text and wants it back.
func exchange(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	require.NoError(t, err)
	back := make([]byte, len(text))
	_, err = io.ReadFull(conn, back)
	require.NoError(t, err)
	require.Equal(t, text, string(back))
}

// requireReset wants a connection to end by a reset.
func requireReset(t testing.TB, conn net.Conn) {
	t.Helper()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, conn)
	require.Error(t, err)
	network, ok := err.(net.Error)
	require.False(t, ok && network.Timeout(), "%v", err)
}
