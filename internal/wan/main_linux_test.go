package wan_test

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"funnel/internal/wan"
)

func TestMain(m *testing.M) {
	if os.Getenv(victim) != "" {
		beVictim()
	}
	goleak.VerifyTestMain(m)
}

// newThree makes three hosts that are removed with the test. Without the rights
// to, the test is skipped, or fails if everything must run.
func newThree(t testing.TB, seed uint64) *wan.Three {
	t.Helper()
	three, err := wan.NewThree(wan.Options{Seed: seed})
	if err != nil && os.Getenv("FUNNEL_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, three.Close()) })
	return three
}

// udpPair returns a socket of the player's and one of home's, connected
// to each other without a tunnel.
func udpPair(t testing.TB, three *wan.Three) (player, home *net.UDPConn) {
	t.Helper()
	listener, err := three.Home.ListenPacket("udp4", ":9")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	home = listener.(*net.UDPConn)
	// So that what is lost is lost on the link.
	control(t, home, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20) })
	conn, err := three.Player.DialContext(t.Context(), "udp4", three.HomeLink.Addr(three.Home).String()+":9")
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UDPConn), home
}

// echo answers each datagram of a socket until that is closed.
func echo(t testing.TB, conn *net.UDPConn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
}

// roundTrips sends n datagrams one after the other and returns, sorted, how
// long each took to come back.
func roundTrips(t testing.TB, conn net.Conn, n int, pause time.Duration) []time.Duration {
	t.Helper()
	times := make([]time.Duration, 0, n)
	b := make([]byte, 100)
	for i := range n {
		binary.BigEndian.PutUint64(b, uint64(i))
		start := time.Now()
		_, err := conn.Write(b)
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(start.Add(10*time.Second)))
		_, err = io.ReadFull(conn, b)
		require.NoError(t, err)
		require.EqualValues(t, i, binary.BigEndian.Uint64(b))
		times = append(times, time.Since(start))
		time.Sleep(pause)
	}
	return sorted(times)
}

func sorted(times []time.Duration) []time.Duration {
	slices.Sort(times)
	return times
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
