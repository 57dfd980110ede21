package wan_test

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"funnel/internal/wan"
)

func TestCommandRunsInItsHost(t *testing.T) {
	three := newThree(t, 1)
	routes, err := three.VPS.Command(t.Context(), "cat", "/proc/self/net/route").Output()
	require.NoError(t, err)
	require.Contains(t, string(routes), "player\t")
	require.Contains(t, string(routes), "home\t")

	var exit *exec.ExitError
	err = three.VPS.Command(t.Context(), "sh", "-c", "exit 7").Run()
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.ExitCode())

	require.ErrorIs(t, three.VPS.Command(t.Context(), "no-such-program").Run(), exec.ErrNotFound)

	ctx, cancel := context.WithCancel(t.Context())
	c := three.Home.Command(ctx, "sleep", "1000")
	require.NoError(t, c.Start())
	cancel()
	require.Error(t, c.Wait())
}

func TestDoComesBackAlsoFromAnotherHost(t *testing.T) {
	three := newThree(t, 1)
	ino := func() uint64 {
		var stat unix.Stat_t
		require.NoError(t, unix.Stat("/proc/thread-self/ns/net", &stat))
		return stat.Ino
	}
	outside := ino()
	require.NoError(t, three.Player.Do(func() error {
		player := ino()
		require.NotEqual(t, outside, player)
		require.NoError(t, three.Home.Do(func() error {
			require.NotEqual(t, player, ino())
			return nil
		}))
		require.Equal(t, player, ino())
		return nil
	}))
	require.Equal(t, outside, ino())
	require.Panics(t, func() { _ = three.Player.Do(func() error { panic("within") }) })
	require.Equal(t, outside, ino())
}

// TestCongestionControl: cubic unless asked, on both ends of a connection, and
// whatever the machine's administrator has set.
func TestCongestionControl(t *testing.T) {
	three := newThree(t, 1)
	for _, want := range []string{"cubic", "reno"} {
		if want != "cubic" {
			require.NoError(t, three.Player.Sysctl("net.ipv4.tcp_congestion_control", want))
			require.NoError(t, three.Home.Sysctl("net.ipv4.tcp_congestion_control", want))
		}
		player, home := tcpPair(t, three)
		var got [2]string
		control(t, player, func(fd int) (err error) {
			got[0], err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			return err
		})
		control(t, home, func(fd int) (err error) {
			got[1], err = unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
			return err
		})
		require.Equal(t, [2]string{want, want}, [2]string{strings.TrimRight(got[0], "\x00"), strings.TrimRight(got[1], "\x00")})
	}
	require.ErrorContains(t, three.VPS.Sysctl("net.ipv4.tcp_congestion_control", "nonsense"), `no congestion control "nonsense"`)
	require.ErrorContains(t, three.VPS.Sysctl("kernel.hostname", "x"), "only net parameters")
}

func TestNamesAndSubnetsThatCantBe(t *testing.T) {
	three := newThree(t, 1)
	for _, name := range []string{"", "lo", "a/b", "a b", "tun%d", "sixteen-letters-", "home"} {
		_, err := three.Host(name)
		require.Errorf(t, err, "host %q", name)
	}
	subnet := netip.MustParsePrefix("198.18.3.0/24")
	_, err := three.Link(three.Player, three.Player, subnet)
	require.Error(t, err)
	_, err = three.Link(three.Player, three.Home, netip.MustParsePrefix("198.18.3.0/30"))
	require.Error(t, err)
	// The player has a device "vps" already; what the attempt made is gone again.
	_, err = three.Link(three.Player, three.VPS, subnet)
	require.ErrorContains(t, err, "device vps")
	_, err = three.Link(three.Player, three.Home, subnet)
	require.NoError(t, err)
	require.ErrorContains(t, three.Home.DefaultVia(three.PlayerLink), "not on the link")
	_, err = three.PlayerLink.Rebind(three.Home)
	require.Error(t, err)
	require.Error(t, three.HomeLink.SetBoth(wan.Conditions{Loss: 2}))
}
