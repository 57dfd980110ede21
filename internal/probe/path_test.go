package probe

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var short = Plan{Rate: 500, Size: 64, Duration: 200 * time.Millisecond, Grace: 5 * time.Second}

// longEnough makes a measurement that is over after a time, for twice as long
// each time, until enough came of it: a busy machine may do nothing at all for
// as long as a short one takes.
func longEnough(t *testing.T, measure func(duration time.Duration) (enough bool)) {
	t.Helper()
	for duration := 200 * time.Millisecond; !measure(duration); duration *= 2 {
		require.Less(t, duration, 10*time.Second, "too little came of it")
	}
}

func udpEcho(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	// On a busy machine all that is ever sent may come at once.
	require.NoError(t, conn.SetReadBuffer(1<<20))
	done := make(chan struct{})
	go func() { defer close(done); EchoUDP(conn) }()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	return listener
}

func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestUDPFlows(t *testing.T) {
	address := udpEcho(t)
	conns := []net.Conn{dial(t, "udp", address), dial(t, "udp", address), dial(t, "udp", address)}
	for _, conn := range conns {
		err := ReachUDP(t.Context(), conn, 64)
		require.NoError(t, err)
	}
	all, err := UDP(t.Context(), short, conns...)
	require.NoError(t, err)
	require.Len(t, all, 3)
	for i, s := range all {
		require.Len(t, s.Samples, 100)
		summary := Summarize(0, s)
		require.Equal(t, 100, summary.Received)
		require.Zero(t, summary.Duplicates)
		// Evenly spread: 2 ms between two of a flow, a third of it between flows.
		require.Equal(t, time.Duration(i)*short.interval()/3, s.Samples[0].Intended)
		require.Equal(t, 198*time.Millisecond, s.Samples[99].Intended-s.Samples[0].Intended)
		for _, sample := range s.Samples {
			require.GreaterOrEqual(t, sample.Sent, sample.Intended, "sent before its time")
			require.Greater(t, sample.Received, sample.Sent)
		}
	}
}

// TestUDPNotices what a bad path does: of the messages by number, every tenth is
// lost, every tenth after it comes twice, and the next is from another run.
func TestUDPNotices(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for i := 0; ; i++ {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			switch i % 10 {
			case 0:
				continue
			case 1:
				_, _ = conn.WriteToUDPAddrPort(b[:n], from)
			case 2:
				b[2] ^= 1
			case 3:
				n-- // truncated
			}
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	defer func() { conn.Close(); <-done }()
	all, err := UDP(t.Context(), short, dial(t, "udp", conn.LocalAddr().String()))
	require.NoError(t, err)
	s := Summarize(0, all...)
	require.Equal(t, 100, s.Sent)
	require.Equal(t, 70, s.Received)
	require.Equal(t, 10, s.Duplicates)
}

// TestUDPNobodyThere: a refusal loses the message and nothing else.
func TestUDPNobodyThere(t *testing.T) {
	// A port whose socket hears somebody else alone refuses everybody else, and is
	// nobody else's meanwhile.
	taken := dial(t, "udp", udpEcho(t))
	plan := short
	plan.Grace = 10 * time.Millisecond
	client := dial(t, "udp", taken.LocalAddr().String())
	all, err := UDP(t.Context(), plan, client)
	require.NoError(t, err)
	require.Zero(t, Summarize(0, all...).Received)

	ctx, cancel := context.WithTimeoutCause(t.Context(), 250*time.Millisecond, errors.New("enough"))
	defer cancel()
	err = ReachUDP(ctx, client, 64)
	require.ErrorContains(t, err, "enough")
}

func TestTCP(t *testing.T) {
	server := EchoTCP(listen(t))
	defer server.Close()
	conn := dial(t, "tcp", server.Addr().String())
	err := ReachTCP(t.Context(), conn, MinSize)
	require.NoError(t, err)
	for _, size := range []int{MinSize, 1200, MaxSize} {
		plan := short
		plan.Size = size
		s, err := TCP(t.Context(), plan, conn) // again on the same connection
		require.NoError(t, err)
		require.Equal(t, 100, Summarize(0, s).Received)
	}
}

// TestTCPStall: what is held back comes late, and counts as late.
func TestTCPStall(t *testing.T) {
	const hold = 100 * time.Millisecond
	server := newTCPServer(listen(t), func(conn net.Conn) {
		first := make([]byte, short.Size)
		if _, err := io.ReadFull(conn, first); err != nil {
			return
		}
		time.Sleep(hold)
		if _, err := conn.Write(first); err == nil {
			echo(conn)
		}
	})
	defer server.Close()
	s, err := TCP(t.Context(), short, dial(t, "tcp", server.Addr().String()))
	require.NoError(t, err)
	summary := Summarize(0, s)
	require.Equal(t, 100, summary.Received)
	require.GreaterOrEqual(t, summary.Max, hold, "the first waited for all of it")
}

func TestTCPBroken(t *testing.T) {
	server := newTCPServer(listen(t), func(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, 1000)) })
	defer server.Close()
	s, err := TCP(t.Context(), short, dial(t, "tcp", server.Addr().String()))
	require.Error(t, err)
	require.Len(t, s.Samples, 100)

	garbage := newTCPServer(listen(t), func(conn net.Conn) { _, _ = conn.Write(make([]byte, 100)); echo(conn) })
	defer garbage.Close()
	_, err = TCP(t.Context(), short, dial(t, "tcp", garbage.Addr().String()))
	require.ErrorContains(t, err, "isn't what was sent")
}

func TestCancelled(t *testing.T) {
	server := EchoTCP(listen(t))
	defer server.Close()
	long := Plan{Rate: 10, Size: 64, Duration: time.Hour, Grace: time.Hour}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(stop) })
	_, err := TCP(ctx, long, dial(t, "tcp", server.Addr().String()))
	require.ErrorIs(t, err, stop)
	_, err = UDP(ctx, long, dial(t, "udp", udpEcho(t)))
	require.ErrorIs(t, err, stop)
}

func TestWrongPlan(t *testing.T) {
	for _, plan := range []Plan{
		{Rate: 0, Size: 64, Duration: time.Second},
		{Rate: 60, Size: MinSize - 1, Duration: time.Second},
		{Rate: 60, Size: MaxSize + 1, Duration: time.Second},
		{Rate: 60, Size: 64, Duration: time.Millisecond},
	} {
		_, err := UDP(t.Context(), plan)
		require.Errorf(t, err, "%+v", plan)
		_, err = TCP(t.Context(), plan, nil)
		require.Errorf(t, err, "%+v", plan)
	}
}

func TestBulk(t *testing.T) {
	server := ServeBulk(listen(t))
	defer server.Close()
	for _, direction := range []Direction{Download, Upload} {
		longEnough(t, func(duration time.Duration) bool {
			ctx, cancel := context.WithTimeout(t.Context(), duration)
			defer cancel()
			transfer, err := Bulk(ctx, dial(t, "tcp", server.Addr().String()), direction, duration/4)
			require.NoError(t, err, direction)
			return transfer.Bytes > 0 && transfer.BitsPerSecond() > 0
		})
	}
}

// TestBulkBroken: a server that leaves is an error in both directions.
func TestBulkBroken(t *testing.T) {
	for _, direction := range []Direction{Download, Upload} {
		server := newTCPServer(listen(t), func(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, 1)) })
		_, err := Bulk(t.Context(), dial(t, "tcp", server.Addr().String()), direction, 0)
		require.Error(t, err, direction)
		server.Close()
	}
}

func TestRate(t *testing.T) {
	address := udpEcho(t)
	var conns []*net.UDPConn
	for range 2 {
		conns = append(conns, dial(t, "udp", address).(*net.UDPConn))
	}
	for _, size := range []int{MinSize, 1200} {
		longEnough(t, func(duration time.Duration) bool {
			echoed, err := Rate(t.Context(), size, 16, duration, conns...)
			require.NoError(t, err)
			return echoed.Messages > 100 && echoed.PerSecond() > 0
		})
	}
	_, err := Rate(t.Context(), MaxSize+1, 1, time.Second, conns...)
	require.Error(t, err)
}

// TestRateGoesOn when everything in flight is lost now and then.
func TestRateGoesOn(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2000)
		for came := make(map[netip.AddrPort]int); ; {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if came[from]++; came[from] > 4 { // the first window is lost
				_, _ = conn.WriteToUDPAddrPort(b[:n], from)
			}
		}
	}()
	defer func() { conn.Close(); <-done }()
	var echoed Echoed
	for range 20 { // a machine that stands still for longer than rateStall loses more
		echoed, err = Rate(t.Context(), 64, 4, 3*rateStall, dial(t, "udp", conn.LocalAddr().String()).(*net.UDPConn))
		require.NoError(t, err)
		if echoed.Messages > 0 && echoed.Lost == 4 {
			break
		}
	}
	require.Positive(t, echoed.Messages)
	require.EqualValues(t, 4, echoed.Lost)
}

func TestProfiles(t *testing.T) {
	for _, p := range Profiles {
		found, err := FindProfile(p.Name)
		require.NoError(t, err)
		require.Equal(t, p, found)
		require.NoError(t, Plan{Rate: p.Rate, Size: p.Size, Duration: time.Second}.check())
	}
	_, err := FindProfile(DefaultProfile)
	require.NoError(t, err)
	_, err = FindProfile("chess")
	require.ErrorContains(t, err, "shooter")
}
