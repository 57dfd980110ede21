package wan_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"funnel/internal/steady"
	"funnel/internal/wan"
)

// These tests measure the emulator itself, so they do assert times. Even on a
// machine that seems to keep up a measurement may fail, hence the tries; that many
// don't.
const tries = 6

// measure runs f until it returns "", which says that what it saw was right. On a
// machine that is too busy for a minute nothing is proved either way; where
// everything must be, it has until the other packages' tests are over.
func measure(t *testing.T, f func() string) {
	t.Helper()
	patience, all := time.Minute, os.Getenv("FUNNEL_REQUIRE_ALL") == "1"
	if all {
		patience = 10 * time.Minute
	}
	err := steady.Measure(tries, patience, t.Log, f)
	if errors.Is(err, steady.ErrBusy) && !all {
		t.Skip("SKIPPED, NOT TESTED:", err)
	}
	require.NoError(t, err)
}

func fortyMilliseconds(t testing.TB, three *wan.Three) {
	t.Helper()
	for _, l := range []*wan.Link{three.PlayerLink, three.HomeLink} {
		require.NoError(t, l.SetBoth(wan.Conditions{Delay: 10 * time.Millisecond}))
	}
}

func TestFortyMillisecondsAreForty(t *testing.T) {
	three := newThree(t, 1)
	udp, home := udpPair(t, three)
	echo(t, home)
	tcp, tcpHome := tcpPair(t, three)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(tcpHome, tcpHome) }()
	t.Cleanup(func() { tcp.Close(); <-done })
	fortyMilliseconds(t, three)
	for name, conn := range map[string]net.Conn{"UDP": udp, "TCP": tcp} {
		measure(t, func() string {
			times := roundTrips(t, conn, 60, 5*time.Millisecond)
			p50 := quantile(times, 0.5)
			t.Log(name, "p50", p50, "p90", quantile(times, 0.9), "p99", quantile(times, 0.99))
			if p50 < 39500*time.Microsecond || p50 > 40500*time.Microsecond {
				return name + " " + p50.String()
			}
			return ""
		})
	}
	// What the kernel's TCP itself believes, when it isn't shaken by a single
	// answer that was late.
	measure(t, func() string {
		var believed []time.Duration
		for range 50 {
			roundTrips(t, tcp, 1, 0)
			believed = append(believed, time.Duration(tcpInfo(t, tcp).Rtt)*time.Microsecond)
		}
		rtt := quantile(sorted(believed), 0.5)
		t.Log("TCP_INFO:", rtt)
		if rtt < 39500*time.Microsecond || rtt > 41*time.Millisecond {
			return "TCP_INFO " + rtt.String()
		}
		return ""
	})
}

func TestOnePercentLossIsOnePercent(t *testing.T) {
	three := newThree(t, 1)
	player, home := udpPair(t, three)
	require.NoError(t, three.HomeLink.Set(wan.Conditions{Loss: 0.01}, wan.Conditions{}))
	measure(t, func() string {
		before := three.HomeLink.Stats().AToB
		const n = 50_000
		got := send(t, player, home, n, 20_000, 200)
		after := three.HomeLink.Stats().AToB
		lost := 1 - float64(got)/n
		t.Logf("%.3f %% of %d lost", lost*100, n)
		if after.Delivered-before.Delivered != uint64(got) {
			return "the last came too late to be counted"
		}
		if after.In-before.In != n || after.Overrun != before.Overrun || three.PlayerLink.Stats().AToB.Overrun != 0 {
			return "the machine didn't carry 20,000 packets a second"
		}
		if lost < 0.008 || lost > 0.012 {
			return fmt.Sprintf("%.3f %% lost", lost*100)
		}
		require.EqualValues(t, n-got, after.LostRandom-before.LostRandom)
		return ""
	})
}

func TestTwentyMegabitAreNineteenToTwenty(t *testing.T) {
	three := newThree(t, 1)
	player, home := udpPair(t, three)
	uplink := wan.Conditions{Delay: 10 * time.Millisecond, Rate: 20e6, Queue: 50 * time.Millisecond}
	require.NoError(t, three.HomeLink.Set(uplink, wan.Conditions{Delay: 10 * time.Millisecond}))

	check := func(name string, bits float64, took time.Duration) string {
		rate := bits / took.Seconds() / 1e6
		if rate < 19 || rate > 20 {
			return fmt.Sprintf("%s %.2f Mbit/s", name, rate)
		}
		return ""
	}
	measure(t, func() string {
		// What TCP delivers between the first second, when it has found the
		// rate, and the fourth; 1,448 of 1,500 bytes are payload.
		tcp, tcpHome := tcpPair(t, three)
		defer tcpHome.Close()
		defer tcp.Close()
		var received atomic.Int64
		done := make(chan struct{}, 2)
		go func() { _, _ = io.Copy(tcp, zeros{}); done <- struct{}{} }()
		go func() { _, _ = io.Copy(counter{&received}, tcpHome); done <- struct{}{} }()
		time.Sleep(time.Second)
		start, from := time.Now(), received.Load()
		time.Sleep(3 * time.Second)
		took, bytes := time.Since(start), received.Load()-from
		tcp.Close()
		tcpHome.Close()
		<-done
		<-done
		return check("TCP", float64(bytes)*8, took)
	})
	measure(t, func() string {
		const n, rate, size = 5000, 2500, 1472 // 30 Mbit/s for 2 s
		delays, took := oneWay(t, player, home, n, rate, size)
		return check("UDP", float64((len(delays)-1)*(size+28)*8), took)
	})
}

func TestFullQueueAddsNoMoreThanAsked(t *testing.T) {
	three := newThree(t, 1)
	player, home := udpPair(t, three)
	require.NoError(t, three.HomeLink.Set(wan.Conditions{Rate: 20e6, Queue: 100 * time.Millisecond}, wan.Conditions{}))
	measure(t, func() string {
		delays, _ := oneWay(t, player, home, 3000, 2500, 1472)
		p50, p99 := quantile(delays, 0.5), quantile(delays, 0.99)
		if p50 < 98*time.Millisecond || p99 > 100500*time.Microsecond {
			return fmt.Sprintf("queued p50 %v, p99 %v", p50, p99)
		}
		return ""
	})
	require.Positive(t, three.HomeLink.Stats().AToB.LostQueue)
}

func TestOutagesTakeEverythingAndPass(t *testing.T) {
	three := newThree(t, 1)
	player, home := udpPair(t, three)
	require.NoError(t, three.HomeLink.SetBoth(wan.Conditions{Outage: wan.Outage{Share: 0.2, Mean: 20 * time.Millisecond}}))
	measure(t, func() string {
		before := three.HomeLink.Stats().AToB
		const n = 8000
		got := send(t, player, home, n, 2000, 100)
		stats := three.HomeLink.Stats().AToB
		lost := 1 - float64(got)/n
		if stats.In-before.In != n || stats.Overrun != before.Overrun || three.PlayerLink.Stats().AToB.Overrun != 0 {
			return "the machine didn't carry 2,000 packets a second"
		}
		if stats.Delivered-before.Delivered != uint64(got) {
			return "the last came too late to be counted"
		}
		require.EqualValues(t, n-got, stats.LostOutage-before.LostOutage)
		require.EqualValues(t, stats.In, stats.Delivered+stats.Lost()+stats.InFlight)
		// Some 40 outages, so the share is known to a quarter or so.
		if lost < 0.2-0.12 || lost > 0.2+0.12 {
			return fmt.Sprintf("%.0f %% lost", lost*100)
		}
		return ""
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

type counter struct{ n *atomic.Int64 }

func (c counter) Write(b []byte) (int, error) { c.n.Add(int64(len(b))); return len(b), nil }

// send has the player send n datagrams at the rate per second, in bursts of
// at most 1 ms, and returns how many came; it waits 200 ms for the last.
func send(t testing.TB, player, home *net.UDPConn, n, rate, size int) int {
	t.Helper()
	delays, _ := oneWay(t, player, home, n, rate, size)
	return len(delays)
}

// oneWay is send, and returns how long each that came took, sorted, and the
// time from the first to the last.
func oneWay(t testing.TB, player, home *net.UDPConn, n, rate, size int) (delays []time.Duration, span time.Duration) {
	t.Helper()
	base := time.Now()
	done := make(chan struct{})
	require.NoError(t, home.SetReadDeadline(time.Time{}))
	go func() {
		defer close(done)
		var first, last time.Duration
		b := make([]byte, 2048)
		for {
			if _, err := home.Read(b); err != nil {
				span = last - first
				return
			}
			last = time.Since(base)
			if len(delays) == 0 {
				first = last
			}
			delays = append(delays, last-time.Duration(binary.BigEndian.Uint64(b)))
		}
	}()
	b := make([]byte, size)
	for i := range n {
		if ahead := time.Duration(i)*time.Second/time.Duration(rate) - time.Since(base); ahead > time.Millisecond {
			time.Sleep(ahead)
		}
		binary.BigEndian.PutUint64(b, uint64(time.Since(base)))
		_, err := player.Write(b)
		require.NoError(t, err)
	}
	require.NoError(t, home.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	<-done
	return sorted(delays), span
}

// tcpPair returns both ends of a connection from the player to home.
func tcpPair(t testing.TB, three *wan.Three) (player, home *net.TCPConn) {
	t.Helper()
	listener, err := three.Home.Listen("tcp4", ":0")
	require.NoError(t, err)
	defer listener.Close()
	addr := net.TCPAddrFromAddrPort(listener.Addr().(*net.TCPAddr).AddrPort())
	addr.IP = three.HomeLink.Addr(three.Home).AsSlice()
	conn, err := three.Player.DialContext(t.Context(), "tcp4", addr.String())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

func tcpInfo(t testing.TB, conn syscall.Conn) (info *unix.TCPInfo) {
	t.Helper()
	control(t, conn, func(fd int) (err error) {
		info, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	return info
}

func control(t testing.TB, conn syscall.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := conn.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { require.NoError(t, f(int(fd))) }))
}
