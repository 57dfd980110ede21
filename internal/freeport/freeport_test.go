package freeport

import (
	"net"
	"net/netip"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFindPassesOverWhatIsTaken(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	r := newRange(32_730, 3)
	require.Equal(t, "32730-32732", r.String())
	var ports []uint16
	for _, network := range []string{"tcp", "udp"} {
		port, err := r.Find(loopback)
		require.NoError(t, err)
		at := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port)))
		if network == "tcp" {
			listener, err := net.Listen(network, at)
			require.NoError(t, err)
			defer listener.Close()
		} else {
			conn, err := net.ListenPacket(network, at)
			require.NoError(t, err)
			defer conn.Close()
		}
		ports = append(ports, port)
	}
	third, err := r.Find(loopback)
	require.NoError(t, err)
	require.ElementsMatch(t, []uint16{32_730, 32_731, 32_732}, append(ports, third))
	again, err := r.Find(loopback)
	require.NoError(t, err)
	require.Equal(t, third, again, "the only one that is left")
	require.NotContains(t, ports, again)
}

func TestRangesAreApart(t *testing.T) {
	const lowest, ephemeral = 1024, 32_768
	last := uint32(lowest)
	for _, r := range []*Range{Relay, Agent, Replay, Session, UDPIO, E2E, Lab} {
		require.GreaterOrEqual(t, r.first, last, r)
		last = r.first + r.count
		require.LessOrEqual(t, last, uint32(ephemeral), r)
		for range r.count {
			port := uint32(r.Next())
			require.True(t, port >= r.first && port < last, port)
		}
	}
}
