package udpio

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEverySizeCrossesUnchanged(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp4", loopback4, options)
		client := dial(t, server.LocalAddr(), options)
		for _, size := range []int{0, 1, 2, 511, 1200, 1472, 1473, 8192, 32768, 65506, MaxDatagram} {
			payload := string(bytes.Repeat([]byte{byte(size)}, size))
			send(t, client, payload, netip.AddrPort{}, netip.Addr{})
			request := receive(t, server, 1)[0]
			require.Equal(t, payload, request.data)
			require.Equal(t, client.LocalAddr(), request.remote)
			send(t, server, payload, request.remote, request.local)
			reply := receive(t, client, 1)[0]
			require.Equal(t, payload, reply.data)
			require.Equal(t, server.LocalAddr(), reply.remote)
		}
	})
}

func TestRepliesLeaveFromTheAddressSpokenTo(t *testing.T) {
	var loopbacks4 = []netip.Addr{loopback4, netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.1.2.3")}
	tests := []struct {
		network string
		address netip.Addr
		spoken  []netip.Addr
	}{
		{network: "udp", address: anywhere, spoken: append(loopbacks4, loopback6)},
		{network: "udp4", address: anywhere, spoken: loopbacks4},
		{network: "udp", address: netip.IPv4Unspecified(), spoken: loopbacks4},
		{network: "udp6", address: anywhere, spoken: []netip.Addr{loopback6}},
		{network: "udp", address: netip.IPv6Unspecified(), spoken: []netip.Addr{loopback6}},
	}
	forEachEngine(t, func(t *testing.T, options Options) {
		for _, test := range tests {
			server := listen(t, test.network, test.address, options)
			require.True(t, server.LocalAddr().Addr().IsUnspecified())
			for _, spoken := range test.spoken {
				// A connected client receives only what comes from there.
				client := dial(t, netip.AddrPortFrom(spoken, server.LocalAddr().Port()), options)
				send(t, client, "hello", netip.AddrPort{}, netip.Addr{})
				request := receive(t, server, 1)[0]
				require.Equal(t, received{data: "hello", remote: client.LocalAddr(), local: spoken}, request)

				// A run of equal datagrams takes the way of segmentation.
				s := NewSender()
				for range 3 {
					s.Add(server, []byte("reply"), request.remote, request.local)
				}
				sent, dropped := s.Flush()
				require.Equal(t, 3, sent)
				require.Zero(t, dropped)
				for _, reply := range receive(t, client, 3) {
					require.Equal(t, "reply", reply.data)
				}
			}
		}
	})
}

func TestSocketOnOneAddressTellsNoLocalAddress(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp", loopback4, options)
		client := dial(t, server.LocalAddr(), options)
		send(t, client, "hello", netip.AddrPort{}, netip.Addr{})
		request := receive(t, server, 1)[0]
		require.False(t, request.local.IsValid())
		// A local address is ignored where there is no choice.
		send(t, server, "reply", request.remote, loopback4)
		require.Equal(t, "reply", receive(t, client, 1)[0].data)
	})
}

func TestFamiliesListenApart(t *testing.T) {
	port := freePort(t)
	v4, err := Listen("udp", netip.AddrPortFrom(netip.IPv4Unspecified(), port), Options{})
	require.NoError(t, err)
	defer v4.Close()
	v6, err := Listen("udp", netip.AddrPortFrom(netip.IPv6Unspecified(), port), Options{})
	require.NoError(t, err)
	defer v6.Close()
	require.True(t, v4.LocalAddr().Addr().Is4())
	require.True(t, v6.LocalAddr().Addr().Is6())
}

func TestListenRefuses(t *testing.T) {
	taken := listen(t, "udp4", loopback4, Options{})
	tests := []struct {
		network string
		address netip.AddrPort
		message string
	}{
		{"tcp", netip.AddrPort{}, "unknown network tcp"},
		{"udp4", netip.AddrPortFrom(loopback6, 0), "address ::1 does not belong to network udp4"},
		{"udp6", netip.AddrPortFrom(loopback4, 0), "address 127.0.0.1 does not belong to network udp6"},
		{"udp", taken.LocalAddr(), "address already in use"},
	}
	for _, test := range tests {
		_, err := Listen(test.network, test.address, Options{})
		require.ErrorContains(t, err, test.message)
		require.ErrorContains(t, err, fmt.Sprintf("listen on UDP address %v: ", test.address))
	}
}

func TestRefusalDoesNotEndAConnectedSocket(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		address := netip.AddrPortFrom(loopback4, freePort(t))
		target, err := Listen("udp4", address, options)
		require.NoError(t, err)
		client := dial(t, address, options)
		require.NoError(t, target.Close())

		s := NewSender()
		const attempts = 5
		for range attempts {
			s.Add(client, []byte("anybody there?"), netip.AddrPort{}, netip.Addr{})
			s.Add(client, nil, netip.AddrPort{}, netip.Addr{})
			sent, dropped := s.Flush()
			require.Equal(t, 2, sent+dropped)
			require.NotZero(t, sent, "the report of an earlier refusal must not cost a datagram")
		}
		for client.Stats().Reported == 0 {
			require.NoError(t, client.Receive(func([]Message) { t.Error("nobody sent anything") }))
		}

		reopened, err := Listen("udp4", address, options)
		require.NoError(t, err)
		defer reopened.Close()
		send(t, client, "hello", netip.AddrPort{}, netip.Addr{})
		request := receive(t, reopened, 1)[0]
		require.Equal(t, "hello", request.data)
		send(t, reopened, "welcome back", request.remote, request.local)
		require.Equal(t, "welcome back", receive(t, client, 1)[0].data)
	})
}

func TestRefusalDoesNotReachAPublicSocket(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp", anywhere, options)
		gone := listen(t, "udp4", loopback4, options)
		require.NoError(t, gone.Close())
		for range 5 {
			send(t, server, "reply", gone.LocalAddr(), loopback4)
		}
		client := dial(t, netip.AddrPortFrom(loopback4, server.LocalAddr().Port()), options)
		send(t, client, "hello", netip.AddrPort{}, netip.Addr{})
		require.Equal(t, "hello", receive(t, server, 1)[0].data)
		require.Zero(t, server.Stats().Reported)
		require.EqualValues(t, 1, server.Stats().Received)
	})
}

func TestCloseWakesReceive(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		for _, c := range []*Conn{
			listen(t, "udp", anywhere, options),
			dial(t, netip.AddrPortFrom(loopback4, 9), options),
		} {
			result := make(chan error, 1)
			go func() { result <- c.Receive(func([]Message) {}) }()
			require.NoError(t, c.Close())
			require.Equal(t, net.ErrClosed, <-result)
			require.Equal(t, net.ErrClosed, c.Receive(func([]Message) {}))

			s := NewSender()
			s.Add(c, []byte("late"), netip.AddrPortFrom(loopback4, 9), netip.Addr{})
			sent, dropped := s.Flush()
			require.Zero(t, sent)
			require.Equal(t, 1, dropped)
		}
	})
}

func TestCloseWhileHandling(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		server := listen(t, "udp4", loopback4, options)
		client := dial(t, server.LocalAddr(), options)
		send(t, client, "bye", netip.AddrPort{}, netip.Addr{})
		require.NoError(t, server.Receive(func(messages []Message) {
			require.NoError(t, server.Close())
			require.Equal(t, "bye", string(messages[0].Data))
		}))
		require.Equal(t, net.ErrClosed, server.Receive(func([]Message) {}))
	})
}

func TestBuffers(t *testing.T) {
	forEachEngine(t, func(t *testing.T, options Options) {
		// Within the limits of every system.
		options.ReceiveBuffer, options.SendBuffer = 65536, 32768
		c := listen(t, "udp4", loopback4, options)
		receive, send, err := c.Buffers()
		require.NoError(t, err)
		require.Equal(t, 65536, receive)
		require.Equal(t, 32768, send)
		require.NoError(t, c.Close())
		_, _, err = c.Buffers()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

func TestResolve(t *testing.T) {
	tests := []struct{ target, want string }{
		{"127.0.0.1:53", "127.0.0.1:53"},
		{"[::1]:53", "[::1]:53"},
		{"[::ffff:10.0.0.1]:53", "10.0.0.1:53"},
		{"localhost:53", "127.0.0.1:53"},
		{"127.0.0.1:domain", "127.0.0.1:53"},
	}
	for _, test := range tests {
		got, err := Resolve(t.Context(), test.target)
		require.NoError(t, err)
		require.Equal(t, test.want, got.String())
	}
	for _, wrong := range []string{"", "localhost", "127.0.0.1:70000", "127.0.0.1:nonsense", "name.invalid:53"} {
		_, err := Resolve(t.Context(), wrong)
		require.ErrorContains(t, err, fmt.Sprintf("look up UDP target %q: ", wrong))
	}
}
