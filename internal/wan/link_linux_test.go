package wan_test

import (
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/wan"
)

// passes reports whether a byte written on one end arrives at the other within
// the time given.
func passes(t *testing.T, from, to net.Conn, within time.Duration) bool {
	t.Helper()
	_, err := from.Write([]byte{1})
	if err != nil {
		return false
	}
	require.NoError(t, to.SetReadDeadline(time.Now().Add(within)))
	_, err = to.Read(make([]byte, 1))
	return err == nil
}

// patient is for what must come, brief for what must not.
const patient, brief = 30 * time.Second, 300 * time.Millisecond

// requireLost waits until packets are counted: what hasn't come after a while may
// still be before the emulator, on a busy machine.
func requireLost(t *testing.T, count func() uint64) {
	t.Helper()
	require.Eventually(t, func() bool { return count() > 0 }, patient, time.Millisecond)
}

func TestCutDropsEverythingUntilRestored(t *testing.T) {
	three := newThree(t, 1)
	player, home := tcpPair(t, three)
	require.True(t, passes(t, player, home, patient))

	three.HomeLink.Cut()
	three.HomeLink.Cut()
	require.False(t, passes(t, player, home, brief))
	require.False(t, passes(t, home, player, brief))
	requireLost(t, func() uint64 { return three.HomeLink.Stats().AToB.LostCut })
	requireLost(t, func() uint64 { return three.HomeLink.Stats().BToA.LostCut })

	// TCP has its byte still to deliver.
	three.HomeLink.Restore()
	for _, conn := range []net.Conn{player, home} {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(patient)))
		_, err := conn.Read(make([]byte, 1))
		require.NoError(t, err)
	}
	require.True(t, passes(t, player, home, patient))
}

func TestCutTakesWhatIsOnItsWay(t *testing.T) {
	three := newThree(t, 1)
	player, home := udpPair(t, three)
	// It is still on its way when it is looked at, however busy the machine.
	require.NoError(t, three.HomeLink.SetBoth(wan.Conditions{Delay: 10 * time.Second}))
	_, err := player.Write([]byte("lost"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return three.HomeLink.Stats().AToB.InFlight == 1 }, patient, time.Millisecond)
	three.HomeLink.Cut()
	three.HomeLink.Restore()
	require.NoError(t, three.HomeLink.SetBoth(wan.Conditions{}))
	_, err = player.Write([]byte("arrives"))
	require.NoError(t, err)
	require.NoError(t, home.SetReadDeadline(time.Now().Add(patient)))
	b := make([]byte, 10)
	n, err := home.Read(b)
	require.NoError(t, err)
	require.Equal(t, "arrives", string(b[:n]))
	require.EqualValues(t, 1, three.HomeLink.Stats().AToB.LostCut)
}

// server accepts connections in the VPS and hands them over.
func server(t *testing.T, three *wan.Three) (addr string, accept func() net.Conn) {
	t.Helper()
	listener, err := three.VPS.Listen("tcp4", ":80")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	return three.HomeLink.Addr(three.VPS).String() + ":80", func() net.Conn {
		require.NoError(t, listener.(*net.TCPListener).SetDeadline(time.Now().Add(patient)))
		conn, err := listener.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

func dial(t *testing.T, h *wan.Host, network, addr string) net.Conn {
	t.Helper()
	conn, err := h.DialContext(t.Context(), network, addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestNoUDPLetsTCPPass(t *testing.T) {
	three := newThree(t, 1)
	udpPlayer, udpHome := udpPair(t, three)
	tcpPlayer, tcpHome := tcpPair(t, three)
	require.True(t, passes(t, udpPlayer, udpHome, patient))

	require.NoError(t, three.HomeLink.SetBoth(wan.Conditions{NoUDP: true}))
	require.False(t, passes(t, udpPlayer, udpHome, brief))
	require.True(t, passes(t, tcpPlayer, tcpHome, patient))
	require.True(t, passes(t, tcpHome, tcpPlayer, patient))
	require.Positive(t, three.HomeLink.Stats().AToB.LostUDP)

	require.NoError(t, three.HomeLink.SetBoth(wan.Conditions{}))
	require.True(t, passes(t, udpPlayer, udpHome, patient))
}

func TestRebindGivesAnotherAddress(t *testing.T) {
	three := newThree(t, 1)
	addr, accept := server(t, three)
	old := dial(t, three.Home, "tcp4", addr)
	oldVPS := accept()
	require.True(t, passes(t, old, oldVPS, patient))
	before := three.HomeLink.Addr(three.Home)

	after, err := three.HomeLink.Rebind(three.Home)
	require.NoError(t, err)
	require.NotEqual(t, before, after)
	require.Equal(t, after, three.HomeLink.Addr(three.Home))

	// What the VPS sends to the old address is lost, and it isn't told.
	require.False(t, passes(t, oldVPS, old, brief))
	requireLost(t, func() uint64 { return three.HomeLink.Stats().AToB.LostNAT })
	// What home sends comes from a stranger, whom the VPS resets.
	_, err = old.Write([]byte{1})
	require.NoError(t, err)
	require.NoError(t, old.SetReadDeadline(time.Now().Add(patient)))
	_, err = old.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)

	// A new connection comes from the new address and works, both ways.
	fresh := dial(t, three.Home, "tcp4", addr)
	freshVPS := accept()
	require.Equal(t, after, netip.MustParseAddrPort(freshVPS.RemoteAddr().String()).Addr())
	require.True(t, passes(t, fresh, freshVPS, patient))
	require.True(t, passes(t, freshVPS, fresh, patient))

	// UDP goes on, and home is reached at the new address.
	udp, home := udpPair(t, three)
	require.Equal(t, after.String(), udp.RemoteAddr().(*net.UDPAddr).IP.String())
	echo(t, home)
	roundTrips(t, udp, 3, 0)

	// Home's refusal, an ICMP error about a packet to an address that home
	// doesn't know, reaches the socket it is about.
	refused := dial(t, three.VPS, "udp4", after.String()+":7")
	_, err = refused.Write([]byte{1})
	require.NoError(t, err)
	require.NoError(t, refused.SetReadDeadline(time.Now().Add(patient)))
	_, err = refused.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestForgetHangsOldConnectionsAndLetsNewOnesPass(t *testing.T) {
	three := newThree(t, 1)
	addr, accept := server(t, three)
	old := dial(t, three.Home, "tcp4", addr)
	oldVPS := accept()
	require.True(t, passes(t, old, oldVPS, patient))

	three.HomeLink.Forget()
	require.False(t, passes(t, old, oldVPS, brief))
	require.False(t, passes(t, oldVPS, old, brief))
	// Neither end is told.
	require.NoError(t, old.SetReadDeadline(time.Now()))
	_, err := old.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	requireLost(t, func() uint64 { return three.HomeLink.Stats().AToB.LostNAT })
	requireLost(t, func() uint64 { return three.HomeLink.Stats().BToA.LostNAT })

	fresh := dial(t, three.Home, "tcp4", addr)
	freshVPS := accept()
	require.True(t, passes(t, fresh, freshVPS, patient))
	require.True(t, passes(t, freshVPS, fresh, patient))
	udp, home := udpPair(t, three)
	echo(t, home)
	roundTrips(t, udp, 3, 0)
}

// TestBytesArriveAsSent moves a lot over a bad line: what TCP makes of it is
// what was sent, so every packet and checksum is.
func TestBytesArriveAsSent(t *testing.T) {
	three := newThree(t, 1)
	_, err := three.HomeLink.Rebind(three.Home)
	require.NoError(t, err)
	require.NoError(t, three.HomeLink.SetBoth(wan.Conditions{
		Delay: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Reorder: true, Loss: 0.005, Rate: 200e6,
	}))
	player, home := tcpPair(t, three)
	const size = 8 << 20
	go func() {
		_, _ = player.Write(pattern(size))
		_ = player.CloseWrite()
	}()
	require.NoError(t, home.SetReadDeadline(time.Now().Add(patient)))
	got, err := io.ReadAll(home)
	require.NoError(t, err)
	require.Equal(t, pattern(size), got)
}

func pattern(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}
