package netwatch

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// What rtnetlink(7) messages say, as far as it matters here. They come from the
// kernel alone; what is malformed nevertheless is left out.

// link is a network interface.
type link struct {
	name     string
	up       bool // by its administrator, and its cable is in
	loopback bool
}

// parseLink reads a message about a link, and returns its index.
func parseLink(m *syscall.NetlinkMessage) (index uint32, l link, ok bool) {
	const size = unix.SizeofIfInfomsg
	// Bridges tell of their ports in a family of their own.
	if len(m.Data) < size || m.Data[0] != unix.AF_UNSPEC {
		return 0, link{}, false
	}
	index = binary.NativeEndian.Uint32(m.Data[4:])
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	l.up = flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0
	l.loopback = flags&unix.IFF_LOOPBACK != 0
	for kind, value := range attributes(m.Data[size:]) {
		if kind == unix.IFLA_IFNAME {
			l.name = unix.ByteSliceToString(value)
		}
	}
	return index, l, l.name != ""
}

// parseAddress reads a message about an address that matters, and returns the
// index of its link. An IPv6 address is there once it is known to be unique
// (RFC 4862 §5.4).
func parseAddress(m *syscall.NetlinkMessage) (index uint32, addr netip.Addr, ok bool) {
	const size = unix.SizeofIfAddrmsg
	if len(m.Data) < size {
		return 0, addr, false
	}
	flags := uint32(m.Data[2])
	index = binary.NativeEndian.Uint32(m.Data[4:])
	local := false
	for kind, value := range attributes(m.Data[size:]) {
		switch kind {
		case unix.IFA_LOCAL:
			addr, _ = netip.AddrFromSlice(value)
			local = true
		case unix.IFA_ADDRESS:
			// On a point-to-point link it is the peer's if there is a local one.
			if !local {
				addr, _ = netip.AddrFromSlice(value)
			}
		case unix.IFA_FLAGS: // the same, and those that the byte has no room for
			if len(value) >= 4 {
				flags = binary.NativeEndian.Uint32(value)
			}
		}
	}
	tentative := flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0
	return index, addr, matters(addr) && !tentative && flags&unix.IFA_F_DADFAILED == 0
}

// rtaNextHop is RTA_NH_ID of linux/rtnetlink.h: the number of a nexthop object.
const rtaNextHop = 30

// route is a route of the main table.
type route struct {
	name  string // what a log line calls it, and all others to the same prefix
	leads string // where to, in the kernel's bytes; without its expiry and metrics
	link  uint32 // its link's index, or 0
}

// parseRoute reads a message about a route that may lead to a relay. A route
// that the kernel makes for an address is left out: the address tells of it.
func parseRoute(m *syscall.NetlinkMessage) (r route, ok bool) {
	const size = unix.SizeofRtMsg
	if len(m.Data) < size {
		return r, false
	}
	family, bits, protocol, action := m.Data[0], m.Data[1], m.Data[5], m.Data[7]
	table := uint32(m.Data[4])
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	var to netip.Addr
	switch family {
	case unix.AF_INET:
		to = netip.IPv4Unspecified()
	case unix.AF_INET6:
		to = netip.IPv6Unspecified()
	default:
		return r, false
	}
	leads := []byte{action}
	for kind, value := range attributes(m.Data[size:]) {
		switch kind {
		case unix.RTA_TABLE: // the same, and those that the byte has no room for
			if len(value) >= 4 {
				table = binary.NativeEndian.Uint32(value)
			}
		case unix.RTA_DST:
			to, _ = netip.AddrFromSlice(value)
		case unix.RTA_OIF:
			if len(value) >= 4 {
				r.link = binary.NativeEndian.Uint32(value)
			}
			fallthrough
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_PRIORITY, unix.RTA_PREFSRC, unix.RTA_MULTIPATH, rtaNextHop:
			leads = append(leads, byte(kind), byte(len(value))) // #nosec G115 -- compared alone; what is cut makes no difference
			leads = append(leads, value...)
		}
	}
	prefix, err := to.Prefix(int(bits))
	switch {
	case err != nil, table != unix.RT_TABLE_MAIN, flags&unix.RTM_F_CLONED != 0:
		return r, false
	case bits == 0 && family == unix.AF_INET:
		r.name = "default route"
	case bits == 0:
		r.name = "IPv6 default route"
	case protocol == unix.RTPROT_KERNEL, action == unix.RTN_MULTICAST, !matters(to):
		return r, false
	default:
		r.name = "route to " + prefix.String()
	}
	r.leads = string(leads)
	return r, true
}

// attributes yields the kind and the value of each attribute, up to the first
// that is malformed.
func attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			size := int(binary.NativeEndian.Uint16(b))
			// The upper bits say how a value is to be read.
			kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
			if size < unix.SizeofRtAttr || size > len(b) || !yield(kind, b[unix.SizeofRtAttr:size]) {
				return
			}
			aligned := (size + unix.RTA_ALIGNTO - 1) &^ (unix.RTA_ALIGNTO - 1)
			b = b[min(aligned, len(b)):]
		}
	}
}

// interfaceName names a link that is known by its index alone.
func interfaceName(links map[uint32]link, index uint32) string {
	if l, ok := links[index]; ok {
		return l.name
	}
	return "interface " + strconv.FormatUint(uint64(index), 10)
}
