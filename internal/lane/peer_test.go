package lane

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/mux"
	"funnel/internal/obs"
	"funnel/internal/tcpio"
	"funnel/proto"
)

// peer is the other end of a lane, which reads what comes.
type peer struct {
	mu      sync.Mutex
	news    sync.Cond
	got     records // guarded by mu
	bytes   int     // guarded by mu: of records
	decoder proto.Decoder
}

func newPeer(t testing.TB) *peer {
	p := &peer{got: records{t: t}}
	p.news.L = &p.mu
	return p
}

// receive is its mux.Receive.
func (p *peer) receive(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bytes += len(b)
	p.news.Broadcast()
	return p.decoder.Decode(b, &p.got)
}

// await waits until what came satisfies done.
func (p *peer) await(t testing.TB, done func(got *records) bool) {
	t.Helper()
	late := time.AfterFunc(patience, p.news.Broadcast)
	defer late.Stop()
	deadline := time.Now().Add(patience)
	p.mu.Lock()
	defer p.mu.Unlock()
	for !done(&p.got) {
		require.True(t, time.Now().Before(deadline), "what was sent didn't come")
		p.news.Wait()
	}
}

// loopback is two ends of a TCP connection.
func loopback(t testing.TB) (near, far net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err = net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	far, err = listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// link joins the muxes of a lane and a peer.
func link(t testing.TB, near, far io.ReadWriteCloser, receive mux.Receive) *mux.Mux {
	t.Helper()
	opened := make(chan *mux.Mux, 1)
	go func() {
		m, err := mux.Open(far, receive)
		if err != nil {
			m = nil
		}
		opened <- m
	}()
	m, err := mux.Accept(near, func([]byte) error { return nil })
	require.NoError(t, err)
	other := <-opened
	require.NotNil(t, other)
	t.Cleanup(func() { m.Close(); other.Close() })
	// Room says that the record stream has come, too.
	ready := make(chan struct{}, 1)
	m.OnRoom(func() {
		select {
		case ready <- struct{}{}:
		default:
		}
	})
	for m.Room() == 0 {
		select {
		case <-ready:
		case <-time.After(patience):
			require.Fail(t, "no record stream came")
		}
	}
	return m
}

// tcpLane is a lane over TCP, whose pushes may be written inline.
func tcpLane(t testing.TB, slot int, drops *obs.Drops, p *peer) *Lane {
	near, far := loopback(t)
	return New(Config{
		Slot: slot, Mux: link(t, near, far, p.receive), Socket: tcpio.NewSocket(near),
		MaxDelay: time.Hour, Drops: drops,
	})
}

// pipeLane is a lane over a pipe, which nobody can be asked about.
func pipeLane(t testing.TB, slot int, drops *obs.Drops, p *peer) *Lane {
	near, far := net.Pipe()
	return New(Config{Slot: slot, Mux: link(t, near, far, p.receive), MaxDelay: time.Hour, Drops: drops})
}

// run runs l until the test's end, or until stop is called, which waits.
func run(t testing.TB, l *Lane) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}
