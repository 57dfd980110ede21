package wan

import (
	"encoding/binary"
	"net/netip"
)

// Fields of the headers that the translation touches: RFC 791, 9293, 768, 792.
const (
	ipv4MinHeader = 20
	ipv4Source    = 12
	ipv4Dest      = 16
	ipv4Checksum  = 10

	protocolICMP = 1
	protocolTCP  = 6
	protocolUDP  = 17

	tcpFlags    = 13
	tcpSYN      = 0x02
	tcpACK      = 0x10
	tcpChecksum = 16
	udpChecksum = 6
)

// translation rewrites the addresses of a link's two ends, each one to one
// and ports untouched. It isn't changed once in use.
type translation struct {
	subnet netip.Prefix
	ends   [2]struct{ inside, outside [4]byte }
}

// identity reports whether there is nothing to translate.
func (t *translation) identity() bool {
	return t.ends[0].inside == t.ends[0].outside && t.ends[1].inside == t.ends[1].outside
}

// arrive rewrites the destination of a packet on its way to an end. It reports
// false for one sent to an address of the subnet that is no longer there.
func (t *translation) arrive(b []byte, end int) bool {
	dest := [4]byte(b[ipv4Dest:])
	if e := t.ends[end]; dest == e.outside {
		rewrite(b, ipv4Dest, e.outside, e.inside)
		return true
	}
	return !t.subnet.Contains(netip.AddrFrom4(dest))
}

// leave rewrites the source of a packet that comes from an end.
func (t *translation) leave(b []byte, end int) {
	if e := t.ends[end]; [4]byte(b[ipv4Source:]) == e.inside {
		rewrite(b, ipv4Source, e.inside, e.outside)
	}
}

// isIPv4 reports whether b is a whole IPv4 header and what follows it.
func isIPv4(b []byte) bool {
	return len(b) >= ipv4MinHeader && b[0]>>4 == 4 && headerLen(b) >= ipv4MinHeader && len(b) >= headerLen(b)
}

// isUDP reports whether b is an IPv4 packet of UDP, or a fragment of one.
func isUDP(b []byte) bool { return isIPv4(b) && b[9] == protocolUDP }

func headerLen(b []byte) int { return int(b[0]&0xf) * 4 }

// payload returns what follows an IPv4 packet's header, nil for a fragment
// other than the first, which has no header of its own to look at.
func payload(b []byte) []byte {
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
		return nil
	}
	return b[headerLen(b):]
}

// rewrite replaces an address of the IPv4 packet b at the offset ipv4Source or
// ipv4Dest, and mends the checksums. TCP's and UDP's cover the addresses too;
// an ICMP error shows the receiver the packet that it is about, in which the
// same address stands at the other offset.
func rewrite(b []byte, at int, old, now [4]byte) {
	if old == now {
		return
	}
	copy(b[at:], now[:])
	mend(b[ipv4Checksum:], old, now)
	rest := payload(b)
	switch b[9] {
	case protocolTCP:
		if len(rest) >= tcpChecksum+2 {
			mend(rest[tcpChecksum:], old, now)
		}
	case protocolUDP:
		// 0 is a datagram without a checksum; a sum of 0 is sent as its other form.
		if len(rest) >= udpChecksum+2 && binary.BigEndian.Uint16(rest[udpChecksum:]) != 0 {
			mend(rest[udpChecksum:], old, now)
			if binary.BigEndian.Uint16(rest[udpChecksum:]) == 0 {
				binary.BigEndian.PutUint16(rest[udpChecksum:], 0xffff)
			}
		}
	case protocolICMP:
		if len(rest) < 8 || rest[0] != 3 && rest[0] != 11 && rest[0] != 12 {
			return
		}
		about, other := rest[8:], ipv4Source+ipv4Dest-at
		if isIPv4(about) && [4]byte(about[other:]) == old {
			// The header's checksum makes up for the address, so the sum over
			// both, and with it ICMP's checksum, stays the same.
			copy(about[other:], now[:])
			mend(about[ipv4Checksum:], old, now)
		}
	}
}

// mend updates the checksum at the start of b for an address that changed:
// RFC 1624, equation 3.
func mend(b []byte, old, now [4]byte) {
	sum := uint32(^binary.BigEndian.Uint16(b))
	for i := 0; i < 4; i += 2 {
		sum += uint32(^binary.BigEndian.Uint16(old[i:])) + uint32(binary.BigEndian.Uint16(now[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b, ^uint16(sum))
}

// connection is a TCP connection across a link, by the addresses and ports of
// its two ends.
type connection struct {
	addr [2][4]byte
	port [2]uint16
}

// connections are the TCP connections begun since the link last forgot. The
// zero value has not forgotten, and knows all. Owned by the link's wire.
type connections struct {
	begun map[connection]struct{}
}

func (c *connections) forget() { c.begun = make(map[connection]struct{}) }

// knows reports whether a packet that comes from an end may pass, and notes
// the connection that it begins.
func (c *connections) knows(b []byte, from int) bool {
	if c.begun == nil || b[9] != protocolTCP {
		return true
	}
	segment := payload(b)
	if len(segment) < tcpFlags+1 {
		return true
	}
	var conn connection
	conn.addr[from], conn.addr[1-from] = [4]byte(b[ipv4Source:]), [4]byte(b[ipv4Dest:])
	conn.port[from], conn.port[1-from] = binary.BigEndian.Uint16(segment), binary.BigEndian.Uint16(segment[2:])
	if _, ok := c.begun[conn]; ok {
		return true
	}
	if segment[tcpFlags]&(tcpSYN|tcpACK) != tcpSYN || len(c.begun) >= maxConnections {
		return false
	}
	c.begun[conn] = struct{}{}
	return true
}
