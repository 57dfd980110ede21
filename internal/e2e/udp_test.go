package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
	"funnel/internal/replay"
	"funnel/internal/session"
	"funnel/internal/tcpio"
)

// openGrant allows everything.
type openGrant struct{}

func (openGrant) Bind(_, host string, port uint16, try func(string, uint16) (uint16, error)) (uint16, error) {
	return try(host, port)
}

// udpPair is a relay's and an agent's half of UDP joined by TCP connections
// that stand in for SSH's.
type udpPair struct {
	registry *session.Registry
	group    *replay.Group
	bound    chan netip.AddrPort
	refused  chan error

	mu    sync.Mutex
	conns []net.Conn // guarded by mu: the relay's ends of the lanes
}

func newUDPPair(t testing.TB, configure func(*replay.Config, *session.Config), forwards ...forward.Forward) *udpPair {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	p := &udpPair{bound: make(chan netip.AddrPort, 64), refused: make(chan error, 64)}
	relayConfig := session.Config{Log: log}
	agentConfig := replay.Config{
		Forwards: forwards,
		Log:      log,
		Bound:    func(_ int, a netip.AddrPort) { p.bound <- a },
		Refused:  func(_ int, err error) { p.refused <- err },
	}
	if configure != nil {
		configure(&agentConfig, &relayConfig)
	}
	p.registry = session.NewRegistry(relayConfig)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() { p.accept(ctx, listener, log) })
	agentConfig.Dial = func(ctx context.Context, _ func()) (*replay.Lane, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
		if err != nil {
			return nil, err
		}
		channel, err := dialChannel(conn)
		if err != nil {
			return nil, err
		}
		return &replay.Lane{Channel: channel, Socket: tcpio.NewSocket(conn), End: conn.Close}, nil
	}
	p.group = replay.New(agentConfig)
	agentCtx, stopAgent := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.group.Run(agentCtx) }()
	t.Cleanup(func() {
		stopAgent()
		require.NoError(t, <-ended)
		p.registry.Close()
		cancel()
		listener.Close()
		wait.Wait()
	})
	return p
}

func (p *udpPair) accept(ctx context.Context, listener net.Listener, log *slog.Logger) {
	var lanes sync.WaitGroup
	defer lanes.Wait()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.conns = append(p.conns, conn)
		p.mu.Unlock()
		lanes.Go(func() {
			channel, err := acceptChannel(conn)
			if err != nil {
				conn.Close()
				return
			}
			err = p.registry.Serve(ctx, channel, session.Peer{
				Fingerprint: "SHA256:test", Name: "test", Remote: conn.RemoteAddr().String(),
				Grant: openGrant{}, Socket: tcpio.NewSocket(conn), Log: log,
			})
			if err != nil && !errors.Is(err, net.ErrClosed) {
				log.Debug("lane", "err", err)
			}
		})
	}
}

// cut closes the lanes under the feet of both ends.
func (p *udpPair) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// address waits until the next forward is bound and returns where it is
// reached from here.
func (p *udpPair) address(t testing.TB) string {
	t.Helper()
	select {
	case a := <-p.bound:
		return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.Port()).String()
	case err := <-p.refused:
		require.NoError(t, err)
	case <-time.After(30 * time.Second):
		require.Fail(t, "no forward was bound")
	}
	return ""
}

// udpEcho is a UDP server that sends everything back.
func udpEcho(t testing.TB) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func udpForward(target netip.AddrPort) forward.Forward {
	return forward.Forward{
		Network: forward.UDP, BindHost: "127.0.0.1",
		TargetHost: target.Addr().String(), TargetPort: target.Port(),
	}
}

// exchanged is what has been sent by exchange, by its socket: on a busy machine
// it was sent twice, and comes back once more while something else is waited for.
var exchanged sync.Map

// exchange sends payload by conn until it comes back, and wants nothing to come
// back that was never sent.
func exchange(t testing.TB, conn net.Conn, payload []byte) {
	t.Helper()
	before, _ := exchanged.LoadOrStore(conn, make(map[string]bool))
	sent := before.(map[string]bool) // conn is used by one goroutine at a time
	sent[string(payload)] = true
	b := make([]byte, 65536)
	for range 40 {
		_, err := conn.Write(payload)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
		for {
			n, err := conn.Read(b)
			if err != nil {
				break
			}
			require.True(t, sent[string(b[:n])], "%q came back", b[:min(n, 100)])
			if string(b[:n]) == string(payload) {
				return
			}
		}
	}
	require.Fail(t, "no datagram came back")
}

func dialUDP(t testing.TB, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("udp", address)
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close()
		exchanged.Delete(conn)
	})
	return conn
}

func TestUDPEcho(t *testing.T) {
	p := newUDPPair(t, nil, udpForward(udpEcho(t)))
	conn := dialUDP(t, p.address(t))
	for _, size := range []int{0, 1, 64, 1200, 1472, 9000, 65507} {
		payload := make([]byte, size)
		for i := range payload {
			payload[i] = byte(i * size)
		}
		exchange(t, conn, payload)
	}
}

func TestUDPSurvivesLostLanes(t *testing.T) {
	p := newUDPPair(t, func(a *replay.Config, _ *session.Config) { a.Lanes = 4 }, udpForward(udpEcho(t)))
	conn := dialUDP(t, p.address(t))
	for round := range 5 {
		exchange(t, conn, fmt.Appendf(nil, "before %d", round))
		p.cut()
		exchange(t, conn, fmt.Appendf(nil, "after %d", round))
	}
}
