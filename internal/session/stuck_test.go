package session

import (
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/tcpio"
	"funnel/proto"
)

// gate is a lane's connection. Once it is shut, as by an agent that gives its SSH
// channel no window, writes wait until it is closed.
type gate struct {
	net.Conn
	shut, closed chan struct{}
	waiting      chan struct{} // 1 slot: a write waits
	close        func() error
}

func newGate(conn net.Conn) *gate {
	g := &gate{Conn: conn, shut: make(chan struct{}), closed: make(chan struct{}), waiting: make(chan struct{}, 1)}
	g.close = sync.OnceValue(func() error { close(g.closed); return conn.Close() })
	return g
}

func (g *gate) Write(b []byte) (int, error) {
	select {
	case <-g.shut:
		select {
		case g.waiting <- struct{}{}:
		default:
		}
		<-g.closed
		return 0, net.ErrClosed
	default:
		return g.Conn.Write(b)
	}
}

func (g *gate) Close() error { return g.close() }

// TestAgentsThatTakeNothingHoldUpNobodyElse, though all that reads for them waits:
// there are more of them than the relay has room to read datagrams into.
func TestAgentsThatTakeNothingHoldUpNobodyElse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()

	d := newDesk(t, Config{})
	peer := key("a")
	// With it, whoever reads a public socket also writes.
	peer.Socket = tcpio.NewSocket(tcpio.NewConn(conn))
	for range max(64, 2*runtime.NumCPU()) {
		var g *gate
		d.wrap = func(near net.Conn) net.Conn { g = newGate(near); return g }
		public := d.join(peer, proto.Token{}).bind(1, 0)
		close(g.shut)
		_, err := client(t, public).Write([]byte("x"))
		require.NoError(t, err)
		select {
		case <-g.waiting:
		case <-time.After(patience):
			require.Fail(t, "nothing is written to the lane")
		}
	}
	d.wrap = nil
	a := d.join(key("b"), proto.Token{})
	player := client(t, a.bind(1, 0))
	_, err = player.Write([]byte("hello"))
	require.NoError(t, err)
	header, ok := a.record().(proto.FlowHeader)
	require.True(t, ok)
	require.Equal(t, datagram{header.Flow, 1, "hello"}, a.record())
}
