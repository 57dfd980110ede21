package udpio

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// decodeName returns the address in name, which holds either family.
func decodeName(name *unix.RawSockaddrInet6) netip.AddrPort {
	switch name.Family {
	case unix.AF_INET:
		name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(name4.Addr), networkOrder(&name4.Port))
	case unix.AF_INET6:
		address := netip.AddrFrom16(name.Addr).Unmap()
		if name.Scope_id != 0 && address.IsLinkLocalUnicast() {
			address = address.WithZone(strconv.FormatUint(uint64(name.Scope_id), 10))
		}
		return netip.AddrPortFrom(address, networkOrder(&name.Port))
	}
	return netip.AddrPort{}
}

// encodeName writes remote into name for a socket of the given family. It returns
// the length of the name, or 0 when remote is invalid or of the other family.
func encodeName(name *unix.RawSockaddrInet6, remote netip.AddrPort, ipv6 bool) uint32 {
	address := remote.Addr()
	if !address.IsValid() {
		return 0
	}
	if !ipv6 {
		if address = address.Unmap(); !address.Is4() {
			return 0
		}
		name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*name4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: address.As4()}
		setNetworkOrder(&name4.Port, remote.Port())
		return unix.SizeofSockaddrInet4
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: address.As16()}
	setNetworkOrder(&name.Port, remote.Port())
	if address.Is6() && address.IsLinkLocalUnicast() {
		name.Scope_id = scopeOf(address.Zone())
	}
	return unix.SizeofSockaddrInet6
}

// scopeOf returns the interface index of an IPv6 zone, which is that number for
// addresses that were received, or 0.
func scopeOf(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if index, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(index)
	}
	if device, err := net.InterfaceByName(zone); err == nil {
		return uint32(device.Index) // #nosec G115 -- the kernel numbers devices from 1
	}
	return 0
}

// networkOrder reads a port as the kernel stores it, most significant byte first.
func networkOrder(port *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(port))[:])
}

func setNetworkOrder(port *uint16, value uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(port))[:], value)
}

// decodeLocal returns the address that the datagram with these control messages
// was sent to, or the zero Addr. The kernel reports IPv4 addresses on a socket of
// both families in IPv6-mapped form.
func decodeLocal(control []byte) netip.Addr {
	for len(control) >= unix.SizeofCmsghdr {
		header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		length := int(header.Len) // #nosec G115 -- checked below
		if length < unix.SizeofCmsghdr || length > len(control) {
			break
		}
		data := control[unix.CmsgLen(0):length]
		var address netip.Addr
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// Not the header's destination, which may be a broadcast address.
			address = netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])).Spec_dst)
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			address = netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr).Unmap()
		}
		if address.IsValid() && !address.IsMulticast() {
			return address
		}
		control = control[min(unix.CmsgSpace(len(data)), len(control)):]
	}
	return netip.Addr{}
}

// appendLocal writes to control the message that makes a datagram leave from
// local, on a socket of the given family, and returns its length, 0 when local is
// of the other family.
func appendLocal(control []byte, local netip.Addr, ipv6 bool) int {
	if ipv6 {
		data := appendControl(control, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: local.As16()}
		return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
	}
	if local = local.Unmap(); !local.Is4() {
		return 0
	}
	data := appendControl(control, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: local.As4()}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

// appendSegment writes to control the message that makes the kernel cut a payload
// into datagrams of size bytes (UDP_SEGMENT of udp(7)), and returns its length.
func appendSegment(control []byte, size uint16) int {
	*(*uint16)(appendControl(control, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)) = size
	return unix.CmsgSpace(2)
}

// appendControl writes the header of a control message with length bytes of data
// and returns where the data goes.
func appendControl(control []byte, level, kind int32, length int) unsafe.Pointer {
	header := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
	*header = unix.Cmsghdr{Level: level, Type: kind}
	header.SetLen(unix.CmsgLen(length))
	return unsafe.Pointer(&control[unix.CmsgLen(0)])
}
