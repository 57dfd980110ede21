package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"funnel/internal/forward"
	"funnel/internal/wildcard"
)

// Permit allows a key to bind some ports: one permitlisten option. In a
// permitopen option it allows to connect to them instead.
type Permit struct {
	// Host is the bind address permitted, with "*" and "?" as wildcards. It is
	// compared with the address as it was asked for: "localhost" permits
	// neither "127.0.0.1" nor "", and "" is the wish for every address.
	Host string

	// Ports are the ports permitted.
	Ports forward.Ports

	// Network is "tcp", "udp", or "" for both.
	Network string
}

// ParsePermit reads [host:]ports[/tcp|/udp], the value of permitlisten and of
// authorize's --permit: "25565", "27015-27020/udp", "80,443/tcp",
// "localhost:8080", "[::1]:*". Without a host it permits every bind address,
// as in sshd; the operator's limits hold nevertheless.
func ParsePermit(text string) (Permit, error) {
	permit, err := parsePermit(text)
	if err != nil {
		return Permit{}, fmt.Errorf("permit %s: %w", quote(text), err)
	}
	return permit, nil
}

func parsePermit(text string) (Permit, error) {
	if text == "" {
		return Permit{}, errors.New("it is empty: want ports, as in 25565 or 27015-27020/udp")
	}
	rest, network, found := strings.Cut(text, "/")
	network = strings.ToLower(network)
	if found && network != "tcp" && network != "udp" {
		return Permit{}, fmt.Errorf("network %s is not known: want /tcp, /udp or nothing for both, as in 25565/udp", quote(network))
	}
	host, ports, found := cutHost(rest)
	if !found {
		host, ports = "*", rest
	}
	permit := Permit{Host: canonicalHost(host), Network: network}
	if !hostPattern(host) {
		return Permit{}, fmt.Errorf("host %s is not an address, a name or a pattern: want it as in localhost:8080", quote(host))
	}
	if strings.Contains(ports, ":") {
		return Permit{}, errors.New("it has too many colons: IPv6 addresses stand in brackets, as in [::1]:8080")
	}
	var err error
	if permit.Ports, err = forward.ParsePorts(ports); err != nil {
		return Permit{}, err
	}
	return permit, nil
}

// cutHost splits host:ports at the colon and takes brackets off the host.
func cutHost(text string) (host, ports string, found bool) {
	if inside, ok := strings.CutPrefix(text, "["); ok {
		return strings.Cut(inside, "]:")
	}
	return strings.Cut(text, ":")
}

// String is in the form ParsePermit reads.
func (p Permit) String() string {
	text := p.Ports.String()
	switch {
	case strings.Contains(p.Host, ":"):
		text = "[" + p.Host + "]:" + text
	case p.Host != "*":
		text = p.Host + ":" + text
	}
	if p.Network != "" {
		text += "/" + p.Network
	}
	return text
}

// ports are those permitted for a network and a bind address in its one
// spelling; none if the permit is about others.
func (p Permit) ports(network, host string) forward.Ports {
	if p.Network != "" && p.Network != network || !wildcard.Match(p.Host, host) {
		return nil
	}
	return p.Ports
}

// options are the permit's permitlisten options, one for each range: sshd
// knows no lists, so a file shared with it stays readable to it if possible.
func (p Permit) options() []string {
	var options []string
	for _, r := range p.Ports {
		one := Permit{Host: p.Host, Ports: forward.Ports{r}, Network: p.Network}
		options = append(options, `permitlisten="`+one.String()+`"`)
	}
	return options
}

// parseOpen reads permitopen's host:port. Its host is literal or "*", and must
// be there, as in sshd.
func parseOpen(text string) (Permit, error) {
	host, ports, found := cutHost(text)
	if !found || host == "" || !hostPattern(host) || strings.ContainsRune(host, '?') ||
		strings.ContainsRune(host, '*') && host != "*" {
		return Permit{}, fmt.Errorf(`permitopen %s: want host:port without wildcards in the host, as in "localhost:80"`, quote(text))
	}
	set, err := forward.ParsePorts(ports)
	if err != nil {
		return Permit{}, fmt.Errorf("permitopen %s: %w", quote(text), err)
	}
	return Permit{Host: canonicalHost(host), Ports: set}, nil
}

func permitTexts(permits []Permit) []string {
	texts := make([]string, len(permits))
	for i, p := range permits {
		texts[i] = p.String()
	}
	slices.Sort(texts)
	return texts
}
