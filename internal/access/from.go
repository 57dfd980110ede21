package access

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"funnel/internal/wildcard"
)

// origins are the addresses a key may log in from: the value of a from option
// (sshd(8); ssh_config(5), PATTERNS).
type origins struct{ rules []originRule }

type originRule struct {
	negated bool
	prefix  netip.Prefix // if valid, else
	pattern string       // compared with the address in text
}

// parseOrigins reads a comma-separated list of addresses, prefixes and
// wildcard patterns, each of which "!" negates. names are the patterns for
// host names: they match nothing, as no name is looked up. A negated one is an
// error, as it can't be obeyed.
func parseOrigins(text string) (list *origins, names []string, err error) {
	list = &origins{}
	for part := range strings.SplitSeq(text, ",") {
		pattern, negated := strings.CutPrefix(strings.TrimSpace(part), "!")
		rule, isName, err := parseOrigin(strings.ToLower(pattern))
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("from %s: %w", quote(text), err)
		case isName && negated:
			return nil, nil, fmt.Errorf("from %s: %s names a host and the relay looks up no names: use addresses", quote(text), quote(part))
		case isName:
			names = append(names, pattern)
			continue
		}
		rule.negated = negated
		list.rules = append(list.rules, rule)
	}
	return list, names, nil
}

func parseOrigin(pattern string) (rule originRule, isName bool, err error) {
	switch {
	case pattern == "":
		return rule, false, errors.New("a pattern is empty")
	case strings.Contains(pattern, "/"):
		rule.prefix, err = parsePrefix(pattern)
		return rule, false, err
	}
	if addr, err := netip.ParseAddr(pattern); err == nil {
		rule.prefix = single(addr)
		return rule, false, nil
	}
	rule.pattern = pattern
	return rule, strings.Trim(pattern, "0123456789abcdef.:*?") != "", nil
}

// contains says whether a login from addr matches: a negated match decides, and
// otherwise any match does.
func (o *origins) contains(addr netip.Addr) bool {
	addr = plain(addr)
	found := false
	for _, rule := range o.rules {
		if !rule.matches(addr) {
			continue
		}
		if rule.negated {
			return false
		}
		found = true
	}
	return found
}

func (r originRule) matches(addr netip.Addr) bool {
	if !addr.IsValid() {
		return false
	}
	if r.prefix.IsValid() {
		return r.prefix.Contains(addr)
	}
	return wildcard.Match(r.pattern, addr.String())
}

// plain takes the zone and the IPv6 mapping off an address, so that it compares
// equal to the same address read elsewhere.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// single is the prefix of one address.
func single(addr netip.Addr) netip.Prefix {
	addr = plain(addr)
	return netip.PrefixFrom(addr, addr.BitLen())
}

// parsePrefix reads address/length, with no bits set beyond the length.
func parsePrefix(text string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is not an address and a prefix length: want it as in 192.0.2.0/24 or 2001:db8::/32", quote(text))
	}
	if masked := prefix.Masked(); masked != prefix {
		return netip.Prefix{}, fmt.Errorf("%s has bits set beyond its prefix length: want %s", quote(text), masked)
	}
	const mapped = 128 - 32 // bits in front of an IPv4 address mapped into IPv6
	if prefix.Addr().Is4In6() && prefix.Bits() >= mapped {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix, nil
}
