package access

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"funnel/internal/forward"
)

// unprivileged are the ports that no system keeps for its administrator and that
// nobody takes for the machine's own services. The kernel's ephemeral ports are
// among them.
var unprivileged = forward.PortRange{First: 1024, Last: 65535}

// Policy is what the relay's operator lets anyone bind, whatever a key's
// options say. The zero Policy allows no port.
type Policy struct {
	// Ports are the ports allowed.
	Ports forward.Ports

	// Bind are the addresses allowed; empty is every address.
	Bind []netip.Prefix
}

// ParsePolicy reads the values of --allow-ports, "1024-65535,443", and of
// --bind, addresses and prefixes, "192.0.2.7" or "10.0.0.0/8" or "localhost".
//
// Without ports, 1024-65535 are allowed. If all ports named are privileged ones,
// below 1024, they are allowed besides; otherwise those named and no others.
func ParsePolicy(allowPorts []string, bind []string) (Policy, error) {
	var policy Policy
	for _, text := range allowPorts {
		ports, err := forward.ParsePorts(text)
		if err != nil {
			return Policy{}, fmt.Errorf("allowed %w", err)
		}
		policy.Ports = policy.Ports.Union(ports)
	}
	if len(policy.Ports.Intersect(forward.Ports{unprivileged})) == 0 {
		policy.Ports = policy.Ports.Union(forward.Ports{unprivileged})
	}
	for _, text := range bind {
		for part := range strings.SplitSeq(text, ",") {
			prefixes, err := parseBindable(part)
			if err != nil {
				return Policy{}, err
			}
			for _, prefix := range prefixes {
				if !slices.Contains(policy.Bind, prefix) {
					policy.Bind = append(policy.Bind, prefix)
				}
			}
		}
	}
	// A limit to everything is none.
	if slices.Contains(policy.Bind, all4) && slices.Contains(policy.Bind, all6) {
		policy.Bind = nil
	}
	return policy, nil
}

var (
	all4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	all6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)

	loopback4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	loopback6 = netip.IPv6Loopback()
)

// parseBindable reads one value of --bind. The unspecified addresses stand for
// all of their family, as they do in a bind.
func parseBindable(text string) ([]netip.Prefix, error) {
	switch strings.ToLower(strings.Trim(text, "[]")) {
	case "*":
		return []netip.Prefix{all4, all6}, nil
	case every4:
		return []netip.Prefix{all4}, nil
	case every6:
		return []netip.Prefix{all6}, nil
	case loopback:
		return []netip.Prefix{single(loopback4), single(loopback6)}, nil
	}
	if strings.Contains(text, "/") {
		prefix, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("bind address %w", err)
		}
		return []netip.Prefix{prefix}, nil
	}
	addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
	if err != nil {
		return nil, fmt.Errorf("bind address %s is not an address or prefix: want it as in 192.0.2.7, 10.0.0.0/8 or localhost", quote(text))
	}
	return []netip.Prefix{single(addr)}, nil
}

// String describes the policy in a sentence: "ports 1024-65535 on every address".
func (p Policy) String() string {
	ports := "no ports"
	switch {
	case len(p.Ports) == 1 && p.Ports[0] == forward.EveryPort:
		ports = "every port"
	case len(p.Ports) > 0:
		ports = "ports " + listPorts(p.Ports)
	}
	return ports + " on " + p.addresses()
}

// addresses lists the addresses allowed.
func (p Policy) addresses() string {
	if len(p.Bind) == 0 {
		return "every address"
	}
	texts := make([]string, len(p.Bind))
	for i, prefix := range p.Bind {
		texts[i] = prefix.String()
		if prefix.IsSingleIP() {
			texts[i] = prefix.Addr().String()
		}
	}
	return list(texts)
}

// narrow turns a bind address in its one spelling into what of it the operator
// allows, which is the same where nothing is forbidden. It is false if that is
// nothing, or more than one socket can be bound to.
func (p Policy) narrow(host string) (string, bool) {
	if len(p.Bind) == 0 {
		return host, true
	}
	switch host {
	case everyAddress:
		host4, has4 := p.family(true)
		host6, has6 := p.family(false)
		switch {
		case !has6:
			return host4, host4 != ""
		case !has4:
			return host6, host6 != ""
		}
		both := host4 == loopback4.String() && host6 == loopback6.String()
		return loopback, both
	case every4, every6:
		one, _ := p.family(host == every4)
		return one, one != ""
	case loopback:
		host4, host6 := p.allows(loopback4), p.allows(loopback6)
		switch {
		case host4 && host6:
			return loopback, true
		case host4:
			return loopback4.String(), true
		}
		return loopback6.String(), host6
	}
	addr, err := netip.ParseAddr(host)
	return host, err == nil && p.allows(plain(addr))
}

// allows says whether the operator allows an address.
func (p Policy) allows(addr netip.Addr) bool {
	return slices.ContainsFunc(p.Bind, func(prefix netip.Prefix) bool { return prefix.Contains(addr) })
}

// family is the one bind address for all that is allowed of a family, or "" if
// there is none; has says whether anything of the family is allowed.
func (p Policy) family(four bool) (host string, has bool) {
	var found []netip.Prefix
	for _, prefix := range p.Bind {
		if prefix.Addr().Is4() == four {
			found = append(found, prefix)
		}
	}
	switch {
	case slices.Contains(found, all4):
		return every4, true
	case slices.Contains(found, all6):
		return every6, true
	case len(found) == 1 && found[0].IsSingleIP():
		return found[0].Addr().String(), true
	}
	return "", len(found) > 0
}
