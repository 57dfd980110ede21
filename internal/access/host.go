package access

import (
	"errors"
	"net/netip"
	"strings"
)

// Bind addresses that aren't one address (RFC 4254 §7.1).
const (
	everyAddress = ""          // every address of both families
	every4       = "0.0.0.0"   // every IPv4 address
	every6       = "::"        // every IPv6 address
	loopback     = "localhost" // loopback of both families
)

var errBindName = errors.New(
	"a bind address must be an address, localhost or empty, as the relay looks up no names")

// bindHost brings a bind address into its one spelling: one of the constants
// above, or a literal address as netip writes it. Two spellings of an address
// must not get different answers, so permissions are compared with this alone.
func bindHost(host string) (string, error) {
	switch {
	case host == "" || host == "*":
		return everyAddress, nil
	case strings.EqualFold(host, loopback):
		return loopback, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || !hostPattern(addr.Zone()) {
		return "", errBindName
	}
	return addr.Unmap().String(), nil
}

// canonicalHost lowers a name or pattern and brings a literal address into its
// one spelling.
func canonicalHost(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	return strings.ToLower(host)
}

// describeHost names a bind address in a sentence.
func describeHost(host string) string {
	switch host {
	case everyAddress:
		return "every address"
	case every4:
		return "every IPv4 address"
	case every6:
		return "every IPv6 address"
	}
	return host
}

// hostPattern says whether text can be a host with wildcards: what else there
// is could end the quotes around it in the file.
func hostPattern(text string) bool {
	for _, c := range []byte(text) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte(".:-_*?%", c) < 0 {
			return false
		}
	}
	return true
}
