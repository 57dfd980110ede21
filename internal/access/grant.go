package access

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/forward"
)

// Grant is what one login may do: the options of its key within the operator's
// policy. It never changes, and is safe for concurrent use.
type Grant struct {
	// User is the name the client logged in with. No right depends on it.
	User string

	// Name is the key's comment, made fit for a log; "" if there is none.
	Name string

	// Fingerprint is the key's, as in "SHA256:…". That of a certificate is the
	// fingerprint of the key it certifies.
	Fingerprint string

	// Authority is the fingerprint of the key that signed the certificate, ""
	// without one; Serial is the certificate's number.
	Authority string
	Serial    uint64

	// NoTouchRequired says that a security key needn't be touched. The SSH
	// server demands a touch unless it finds "no-touch-required" among the
	// login's extensions.
	NoTouchRequired bool

	// Limits are the key's own.
	Limits Limits

	forwarding  bool
	unforwarded string   // why not, if it isn't the line's options
	listen      []Permit // empty: everything
	open        []Permit // empty: nothing
	policy      Policy
	until       time.Time // when it ends by itself; zero: never

	login   login
	rules   *rules   // that it rests on
	account *Account // what its identity uses
}

// login is what a grant was given to.
type login struct {
	user   string
	key    ssh.PublicKey
	remote netip.Addr
}

// Bind opens a public socket through try, if the key and the operator permit
// it, and returns the port that try returned. Network is "tcp" or "udp"; host
// is a bind address as in RFC 4254 §7.1. For port 0 a permitted one is chosen,
// never a privileged one if there are others.
//
// The host that try is called with may be narrower than the one asked for: an
// operator who allows one address alone gives that one to who asks for all.
// It is "", "localhost", "0.0.0.0", "::" or a literal address. In "::" try must
// take IPv6 alone, as the permission for IPv4 wasn't asked for.
//
// The error is a *Denied if it isn't try's.
func (g *Grant) Bind(network, host string, port uint16, try func(host string, port uint16) (uint16, error)) (uint16, error) {
	narrowed, permitted, err := g.mayBind(network, host, port)
	if err != nil {
		return 0, err
	}
	if port != 0 {
		return try(narrowed, port)
	}
	return choose(permitted, func(port uint16) (uint16, error) { return try(narrowed, port) })
}

// MayBind says whether Bind would let something be bound. The error is a
// *Denied.
func (g *Grant) MayBind(network, host string, port uint16) error {
	_, _, err := g.mayBind(network, host, port)
	return err
}

// mayBind is the address that may be bound for host, and the ports for port 0.
func (g *Grant) mayBind(network, host string, port uint16) (narrowed string, permitted forward.Ports, err error) {
	deny := func(limit Limit, format string, values ...any) (string, forward.Ports, error) {
		return "", nil, &Denied{Network: network, Host: host, Port: port, Limit: limit, text: fmt.Sprintf(format, values...)}
	}
	if network != string(forward.TCP) && network != string(forward.UDP) {
		return deny(LimitRelay, "network %s cannot be bound: want tcp or udp", quote(network))
	}
	asked, err := bindHost(host)
	if err != nil {
		return deny(LimitRelay, "%s port %d on %s cannot be bound: %v", strings.ToUpper(network), port, quote(host), err)
	}
	what := describeBind(network, asked, port)
	permitted = g.ports(network, asked)
	switch {
	case !g.forwarding:
		return deny(LimitKey, "%s is not permitted: %s", what, g.whyNot())
	case len(permitted) == 0, port != 0 && !permitted.Contains(port):
		return deny(LimitKey, "%s is not permitted to this key, which may bind %s", what, list(permitTexts(g.listen)))
	case port != 0 && !g.policy.Ports.Contains(port):
		return deny(LimitOperator, "%s is not allowed by the relay's operator, who allows %s", what, g.policy)
	}
	var ok bool
	if narrowed, ok = g.policy.narrow(asked); !ok {
		return deny(LimitOperator, "%s is not allowed by the relay's operator: bind one address of those allowed, %s",
			what, g.policy.addresses())
	}
	if port != 0 {
		return narrowed, nil, nil
	}
	if permitted = permitted.Intersect(g.policy.Ports); len(permitted) == 0 {
		return deny(LimitOperator, "%s is not allowed by the relay's operator, who allows %s, while this key may bind %s",
			what, g.policy, list(permitTexts(g.listen)))
	}
	return narrowed, permitted, nil
}

// whyNot is why nothing may be forwarded.
func (g *Grant) whyNot() string {
	if g.unforwarded != "" {
		return g.unforwarded
	}
	return "this key may not forward ports"
}

// MayDial says whether the login may connect to a host and port from the relay
// (direct-tcpip, RFC 4254 §7.2): only if its key has a permitopen for it. The
// host must be spelled as there, except for case and for the spelling of an
// address. The error is a *Denied.
func (g *Grant) MayDial(host string, port uint16) error {
	text := g.whyNot()
	if g.forwarding {
		text = "this key has no permitopen for it"
		for _, permit := range g.open {
			if (permit.Host == "*" || permit.Host == canonicalHost(host)) && permit.Ports.Contains(port) {
				return nil
			}
		}
	}
	return &Denied{Network: string(forward.TCP), Host: host, Port: port, Limit: LimitKey,
		text: fmt.Sprintf("connecting to %s port %d is not permitted: %s", quote(host), port, text)}
}

// ports are those the key may bind on a network and a bind address in its one
// spelling, whatever the operator says.
func (g *Grant) ports(network, host string) forward.Ports {
	if len(g.listen) == 0 {
		return forward.Ports{forward.EveryPort}
	}
	var ports forward.Ports
	for _, permit := range g.listen {
		ports = ports.Union(permit.ports(network, host))
	}
	return ports
}

// choose tries permitted ports until one works, and returns the last error if
// none does. Any error makes it go on: which of them mean that the port alone
// is at fault differs between systems.
func choose(permitted forward.Ports, try func(port uint16) (uint16, error)) (uint16, error) {
	if free := permitted.Intersect(forward.Ports{unprivileged}); len(free) > 0 {
		permitted = free
	}
	if slices.Contains(permitted, unprivileged) {
		return try(0) // the kernel knows what is free
	}
	var port uint16
	var err error
	for _, candidate := range candidates(permitted) {
		if port, err = try(candidate); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("bind one of the ports %s: %w", listPorts(permitted), err)
}

// candidates are up to maxTries of the ports in random order: all of them if
// there are no more.
func candidates(ports forward.Ports) []uint16 {
	n := ports.Len()
	if n <= maxTries {
		all := make([]uint16, n)
		for i, at := range rand.Perm(n) { // #nosec G404 -- which port it becomes is no secret
			all[i] = ports.At(at)
		}
		return all
	}
	some := make([]uint16, 0, maxTries)
	seen := make(map[uint16]bool, maxTries)
	for len(some) < maxTries {
		if port := ports.At(rand.IntN(n)); !seen[port] { // #nosec G404 -- likewise
			seen[port] = true
			some = append(some, port)
		}
	}
	return some
}
