package access

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"funnel/internal/forward"
)

// Networks are the client networks that may reach public ports: the operator's
// file, which is also for fail2ban and its like to write. Each line has one
// rule:
//
//	deny  203.0.113.0/24
//	deny  2001:db8::7     25565
//	allow 198.51.100.0/24 27015-27020/udp
//
// A client that a deny rule matches is turned away. A port for which there are
// allow rules is for clients that one of them matches, and no others. Safe for
// concurrent use; a nil Networks lets everybody in.
type Networks struct {
	file    watched[*networkRules]
	log     *slog.Logger
	current atomic.Pointer[networkRules]
	version atomic.Uint64
	steady  steady
}

// networkRules are one version of the file. They never change.
type networkRules struct {
	deny, allow map[netip.Prefix][]Permit
	count       int      // of rules
	lengths     []int    // of prefixes in deny and allow, in bits, IPv6's plus lengths6
	ports       []Permit // those with allow rules
}

// lengths6 tells lengths of IPv6 prefixes from those of IPv4.
const lengths6 = 1000

// NewNetworks reads the file at path. One that isn't there has no rules.
func NewNetworks(path string, log *slog.Logger) (*Networks, error) {
	n := &Networks{file: watched[*networkRules]{path: path, what: "client networks", parse: parseNetworks}, log: log}
	if log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	rules, version, err := n.file.load()
	if err != nil {
		return nil, err
	}
	n.current.Store(rules)
	n.version.Store(version)
	return n, nil
}

// Refresh reads the file if it has changed, and has it count when the next call
// finds it the same, so that they should be some time apart. A version that can't
// be understood is logged, and the last one that could be goes on counting: half a
// file must not let anybody in, nor keep everybody out.
func (n *Networks) Refresh() (changed bool) {
	if n == nil {
		return false
	}
	rules, version, err := n.file.load()
	if !n.steady.look(version, n.version.Load()) {
		return false
	}
	n.version.Store(version)
	if err != nil {
		n.log.Error("client networks not changed", "error", err)
		return false
	}
	n.current.Store(rules)
	count := 0
	if rules != nil {
		count = rules.count
	}
	n.log.Info("client networks changed", "file", n.file.path, "rules", count)
	return true
}

// Allows says whether a client may reach a public port, on network "tcp" or
// "udp".
func (n *Networks) Allows(client netip.Addr, network string, port uint16) bool {
	if n == nil {
		return true
	}
	rules := n.current.Load()
	if rules == nil {
		return true
	}
	client = plain(client)
	if rules.match(rules.deny, client, network, port) {
		return false
	}
	return !covers(rules.ports, network, port) || rules.match(rules.allow, client, network, port)
}

// match says whether one of the rules of any prefix of client is about a port.
func (r *networkRules) match(rules map[netip.Prefix][]Permit, client netip.Addr, network string, port uint16) bool {
	for _, length := range r.lengths {
		if client.Is4() != (length < lengths6) {
			continue
		}
		prefix, err := client.Prefix(length % lengths6)
		if err == nil && covers(rules[prefix], network, port) {
			return true
		}
	}
	return false
}

func covers(permits []Permit, network string, port uint16) bool {
	return slices.ContainsFunc(permits, func(p Permit) bool {
		return (p.Network == "" || p.Network == network) && p.Ports.Contains(port)
	})
}

func parseNetworks(data []byte) (*networkRules, error) {
	r := &networkRules{deny: make(map[netip.Prefix][]Permit), allow: make(map[netip.Prefix][]Permit)}
	for number, text := range numbered(data) {
		if err := r.add(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	return r, nil
}

func (r *networkRules) add(text string) error {
	text, _, _ = strings.Cut(text, "#")
	fields := strings.Fields(text)
	if len(fields) < 2 || len(fields) > 3 {
		return errors.New("want deny or allow, a network, and ports if not all are meant, as in deny 192.0.2.0/24 25565")
	}
	prefix, err := parseClient(fields[1])
	if err != nil {
		return err
	}
	permit := Permit{Host: "*", Ports: forward.Ports{forward.EveryPort}}
	if len(fields) == 3 {
		if permit, err = parsePermit(fields[2]); err != nil {
			return fmt.Errorf("ports %s: %w", quote(fields[2]), err)
		}
		if permit.Host != "*" {
			return fmt.Errorf("ports %s: want ports alone, as in 25565 or 27015-27020/udp", quote(fields[2]))
		}
	}
	switch strings.ToLower(fields[0]) {
	case "deny":
		r.deny[prefix] = append(r.deny[prefix], permit)
	case "allow":
		r.allow[prefix] = append(r.allow[prefix], permit)
		r.ports = append(r.ports, permit)
	default:
		return fmt.Errorf("%s is neither deny nor allow", quote(fields[0]))
	}
	r.count++
	length := prefix.Bits()
	if !prefix.Addr().Is4() {
		length += lengths6
	}
	if !slices.Contains(r.lengths, length) {
		r.lengths = append(r.lengths, length)
	}
	return nil
}

// parseClient reads an address or a prefix.
func parseClient(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		return parsePrefix(text)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%s is not an address or a network: want it as in 192.0.2.7 or 192.0.2.0/24", quote(text))
	}
	return single(addr), nil
}
