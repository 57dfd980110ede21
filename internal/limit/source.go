package limit

import "net/netip"

// Source is the network of an address that belongs to one stranger: of an IPv4
// address its first bits4 bits, of an IPv6 address its first bits6 ones. The
// zero Prefix stands for an address that isn't one.
func Source(address netip.Addr, bits4, bits6 int) netip.Prefix {
	address = address.Unmap().WithZone("")
	bits := bits6
	if address.Is4() {
		bits = bits4
	}
	prefix, err := address.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
