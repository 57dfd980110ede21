package udpio

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestNothingIsAllocatedPerDatagram(t *testing.T) {
	server := listen(t, "udp", anywhere, Options{})
	clients := []*Conn{
		dial(t, netip.AddrPortFrom(loopback4, server.LocalAddr().Port()), Options{}),
		dial(t, netip.AddrPortFrom(loopback6, server.LocalAddr().Port()), Options{}),
	}
	s := NewSender()
	payload := make([]byte, 100)
	echo := func(messages []Message) {
		for i, m := range messages {
			// Of different lengths, so that not all go as one.
			s.Add(server, m.Data[:len(m.Data)-i%3], m.Remote, m.Local)
		}
		s.Flush()
	}
	got := 0
	count := func(messages []Message) { got += len(messages) }
	for _, burst := range []int{1, 8} {
		allocations := testing.AllocsPerRun(200, func() {
			for _, client := range clients {
				for range burst {
					s.Add(client, payload, netip.AddrPort{}, netip.Addr{})
				}
			}
			s.Flush()
			for got = 0; got < burst*len(clients); {
				if server.Receive(echo) != nil || clients[0].Receive(count) != nil || clients[1].Receive(count) != nil {
					t.Error("a socket failed")
					return
				}
			}
		})
		require.Zero(t, allocations)
	}
}

// built returns how many datagrams each header of the first call carries.
func built(s *Sender, conn *Conn) []int32 {
	g := s.groupOf(conn)
	s.system.engine, s.system.group = conn.engine.(*linuxEngine), g
	n, _ := s.system.build(g.first)
	return s.system.segments[:n]
}

func TestRunsGoOutAsOne(t *testing.T) {
	a, b := netip.MustParseAddrPort("127.0.0.1:1"), netip.MustParseAddrPort("127.0.0.1:2")
	type message struct {
		size   int
		remote netip.AddrPort
		local  netip.Addr
	}
	tests := []struct {
		name     string
		messages []message
		want     []int32
	}{
		{"equal lengths", []message{{size: 5, remote: a}, {size: 5, remote: a}, {size: 5, remote: a}}, []int32{3}},
		{"the last is shorter", []message{{size: 5, remote: a}, {size: 4, remote: a}, {size: 4, remote: a}}, []int32{2, 1}},
		{"the next is longer", []message{{size: 4, remote: a}, {size: 5, remote: a}}, []int32{1, 1}},
		{"empty", []message{{size: 0, remote: a}, {size: 0, remote: a}, {size: 1, remote: a}, {size: 0, remote: a}}, []int32{1, 1, 1, 1}},
		{"other client", []message{{size: 5, remote: a}, {size: 5, remote: b}, {size: 5, remote: a}}, []int32{1, 1, 1}},
		{"other source", []message{{size: 5, remote: a, local: loopback4}, {size: 5, remote: a}}, []int32{1, 1}},
		{"too long together", []message{{size: 30000, remote: a}, {size: 30000, remote: a}, {size: 30000, remote: a}}, []int32{2, 1}},
	}
	server := listen(t, "udp4", anywhere, Options{})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewSender()
			for _, m := range test.messages {
				s.Add(server, make([]byte, m.size), m.remote, m.local)
			}
			require.Equal(t, test.want, built(s, server))
		})
	}
	s := NewSender()
	for range maxSegments + 1 {
		s.Add(server, []byte("x"), a, netip.Addr{})
	}
	require.Equal(t, []int32{maxSegments, 1}, built(s, server))
}

func TestRunsAreSplitWhereTheKernelCannot(t *testing.T) {
	server := listen(t, "udp4", loopback4, Options{})
	client := dial(t, server.LocalAddr(), Options{})
	engine := client.engine.(*linuxEngine)
	require.EqualValues(t, MaxDatagram, engine.segmentLimit.Load())
	// Without checksums the kernel refuses to segment.
	var err error
	require.NoError(t, engine.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
	}))
	require.NoError(t, err)
	s := NewSender()
	for _, size := range []int{3, 700, 700, 700, 500, 500, 2} {
		s.Add(client, []byte(strings.Repeat("x", size)), netip.AddrPort{}, netip.Addr{})
	}
	sent, dropped := s.Flush()
	require.Equal(t, 7, sent)
	require.Zero(t, dropped)
	for i, got := range receive(t, server, 7) {
		require.Len(t, got.data, []int{3, 700, 700, 700, 500, 500, 2}[i])
	}
	require.EqualValues(t, 499, engine.segmentLimit.Load(), "longer runs are not tried again")
}

func TestSegmentationEndsForGood(t *testing.T) {
	client := dial(t, netip.AddrPortFrom(loopback4, 9), Options{})
	engine := client.engine.(*linuxEngine)
	s := NewSender()
	s.Add(client, []byte("x"), netip.AddrPort{}, netip.Addr{})
	built(s, client)
	require.False(t, s.system.refuseSegments(0, unix.ECONNREFUSED))
	require.EqualValues(t, MaxDatagram, engine.segmentLimit.Load())
	require.True(t, s.system.refuseSegments(0, unix.EIO))
	require.Zero(t, engine.segmentLimit.Load())
}

func TestAddressesSurviveTheKernelsForm(t *testing.T) {
	tests := []struct {
		remote string
		ipv6   bool
		length uint32
		want   string
	}{
		{"192.0.2.1:80", false, unix.SizeofSockaddrInet4, "192.0.2.1:80"},
		{"[::ffff:192.0.2.1]:80", false, unix.SizeofSockaddrInet4, "192.0.2.1:80"},
		{"192.0.2.1:65535", true, unix.SizeofSockaddrInet6, "192.0.2.1:65535"},
		{"[2001:db8::1]:1", true, unix.SizeofSockaddrInet6, "[2001:db8::1]:1"},
		{"[fe80::1%7]:256", true, unix.SizeofSockaddrInet6, "[fe80::1%7]:256"},
		{"[fe80::1%lo]:256", true, unix.SizeofSockaddrInet6, "[fe80::1%1]:256"},
		{"[fe80::1%no-such-device]:256", true, unix.SizeofSockaddrInet6, "[fe80::1]:256"},
		{"[2001:db8::1]:1", false, 0, ""},
	}
	for _, test := range tests {
		var name unix.RawSockaddrInet6
		require.Equal(t, test.length, encodeName(&name, netip.MustParseAddrPort(test.remote), test.ipv6))
		if test.length > 0 {
			require.Equal(t, test.want, decodeName(&name).String())
		}
	}
	var name unix.RawSockaddrInet6
	require.Zero(t, encodeName(&name, netip.AddrPort{}, true))
	require.False(t, decodeName(&name).IsValid())
}

func TestLocalAddressesSurviveTheKernelsForm(t *testing.T) {
	tests := []struct {
		local string
		ipv6  bool
		want  netip.Addr
	}{
		{"192.0.2.1", false, netip.MustParseAddr("192.0.2.1")},
		{"192.0.2.1", true, netip.MustParseAddr("192.0.2.1")},
		{"2001:db8::1", true, netip.MustParseAddr("2001:db8::1")},
		{"2001:db8::1", false, netip.Addr{}},
		{"ff02::1", true, netip.Addr{}},
		{"224.0.0.1", false, netip.Addr{}},
	}
	for _, test := range tests {
		var room control
		length := appendLocal(room.bytes()[:], netip.MustParseAddr(test.local), test.ipv6)
		length += appendSegment(room.bytes()[length:], 1200)
		require.LessOrEqual(t, length, controlSize)
		require.Equal(t, test.want, decodeLocal(room.bytes()[:length]))
		for i := range length {
			decodeLocal(room.bytes()[:i])
		}
	}
}

func FuzzDecodeLocal(f *testing.F) {
	var room control
	length := appendLocal(room.bytes()[:], loopback6, true)
	f.Add(room.bytes()[:length])
	length = appendLocal(room.bytes()[:], loopback4, false)
	f.Add(room.bytes()[:length])
	f.Fuzz(func(t *testing.T, data []byte) {
		var room control
		n := copy(room.bytes()[:], data)
		if address := decodeLocal(room.bytes()[:n]); address.IsValid() {
			require.False(t, address.IsMulticast())
			require.False(t, address.Is4In6())
		}
	})
}
