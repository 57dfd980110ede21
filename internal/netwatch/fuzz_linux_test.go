package netwatch

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// message is an rtnetlink message: its fixed part, then its attributes.
func message(kind uint16, fixed []byte, attrs ...[]byte) []byte {
	body := fixed
	for _, a := range attrs {
		body = append(body[:len(body):len(body)], a...)
	}
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(append(b, make([]byte, unix.SizeofNlMsghdr-len(b))...), body...)
}

func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func number(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func linkMessage(index, flags uint32, name string) []byte {
	fixed := append(make([]byte, 4), number(index)...)
	fixed = append(append(fixed, number(flags)...), 0, 0, 0, 0)
	return message(unix.RTM_NEWLINK, fixed, attribute(unix.IFLA_IFNAME, append([]byte(name), 0)))
}

func addressMessage(index uint32, addr string, flags uint32) []byte {
	a := netip.MustParseAddr(addr)
	fixed := append([]byte{unix.AF_INET, 24, 0, 0}, number(index)...)
	return message(unix.RTM_NEWADDR, fixed, attribute(unix.IFA_ADDRESS, a.AsSlice()), attribute(unix.IFA_FLAGS, number(flags)))
}

func routeMessage(fixed []byte, attrs ...[]byte) []byte {
	return message(unix.RTM_NEWROUTE, append(fixed[:8:8], 0, 0, 0, 0), attrs...)
}

var (
	defaultRoute = routeMessage([]byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, 0, unix.RTN_UNICAST},
		attribute(unix.RTA_GATEWAY, []byte{192, 0, 2, 1}), attribute(unix.RTA_OIF, number(2)))
	ipv6Default = routeMessage([]byte{unix.AF_INET6, 0, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_RA, 0, unix.RTN_UNICAST},
		attribute(unix.RTA_OIF, number(2)), attribute(unix.RTA_CACHEINFO, make([]byte, 32)))
)

func TestParseState(t *testing.T) {
	const up = unix.IFF_UP | unix.IFF_RUNNING
	links := append(linkMessage(1, up|unix.IFF_LOOPBACK, "lo"), linkMessage(2, up, "eth0")...)
	links = append(links, linkMessage(3, unix.IFF_UP, "veth0")...)
	addresses := append(addressMessage(1, "192.0.2.1", 0), addressMessage(2, "192.0.2.7", 0)...)
	addresses = append(addresses, addressMessage(2, "2001:db8::7", unix.IFA_F_TENTATIVE)...)
	addresses = append(addresses, addressMessage(2, "2001:db8::8", unix.IFA_F_TENTATIVE|unix.IFA_F_OPTIMISTIC)...)
	s, err := parseState(links, addresses, append(defaultRoute[:len(defaultRoute):len(defaultRoute)], ipv6Default...))
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"eth0": true}, s.links)
	require.Equal(t, map[address]bool{
		{netip.MustParseAddr("192.0.2.7"), "eth0"}: true, {netip.MustParseAddr("2001:db8::8"), "eth0"}: true,
	}, s.addresses)
	require.Len(t, s.routes, 2)
	require.Contains(t, s.routes, "default route")
	require.Contains(t, s.routes, "IPv6 default route")
}

// TestARouteIsTheSameWithAnotherExpiry: routers renew it all the time.
func TestARouteIsTheSameWithAnotherExpiry(t *testing.T) {
	before, err := parseState(nil, nil, ipv6Default)
	require.NoError(t, err)
	renewed := append([]byte(nil), ipv6Default...)
	renewed[len(renewed)-20] = 77 // in RTA_CACHEINFO
	after, err := parseState(nil, nil, renewed)
	require.NoError(t, err)
	require.Empty(t, before.changesTo(after))
}

func TestOfTheSameLinkTwiceOnlyTheFirstMatters(t *testing.T) {
	h := hearing{links: make(map[uint32]link)}
	require.True(t, h.matters(linkMessage(2, unix.IFF_UP, "eth0")))
	require.False(t, h.matters(linkMessage(2, unix.IFF_UP, "eth0")))
	require.True(t, h.matters(linkMessage(2, unix.IFF_UP|unix.IFF_RUNNING, "eth0")))
}

func FuzzMessages(f *testing.F) {
	seeds := [][]byte{
		linkMessage(2, unix.IFF_UP, "eth0"), addressMessage(2, "192.0.2.7", 0), addressMessage(2, "2001:db8::7", 0), defaultRoute, ipv6Default,
		append(linkMessage(1, 0, "lo"), addressMessage(1, "127.0.0.1", 0)...),
	}
	for _, seed := range seeds {
		f.Add(seed)
		f.Add(seed[:len(seed)-3])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := hearing{links: make(map[uint32]link)}
		h.matters(b)
		if s, err := parseState(b, b, b); err == nil {
			require.Empty(t, s.changesTo(s))
			for a := range s.addresses {
				require.True(t, matters(a.addr))
			}
		}
		// The library looks after the lengths of whole messages; these are as bad as b.
		for size := range min(len(b), 64) {
			m := &syscall.NetlinkMessage{Data: b[size:]}
			parseLink(m)
			parseAddress(m)
			parseRoute(m)
		}
	})
}
