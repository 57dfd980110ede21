package forward

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// DefaultTarget is the target's host where a SPEC names none.
const DefaultTarget = "127.0.0.1"

// Parse reads a SPEC, [bind_address:]port[-port][:host:hostport], and returns
// one Forward per port of its range, in ascending order.
//
//	25565                            every address, to 127.0.0.1:25565
//	0.0.0.0:25565                    every IPv4 address, to 127.0.0.1:25565
//	8080:192.168.1.7:80              another host and port as the target
//	[::1]:8080:[fd00::7]:80          IPv6 addresses in brackets
//	27015-27020:game.lan:30000       27015 to 30000, 27016 to 30001, and so on
//	0:localhost:25565                the relay chooses the port
//
// An error quotes the part that is wrong and shows an example. Forwards are
// made for TCP and UDP alone.
func Parse(network Network, spec string) ([]Forward, error) {
	if network != TCP && network != UDP {
		return nil, fmt.Errorf("network %s of forward %s: want tcp or udp", quote(string(network)), quote(spec))
	}
	forwards, err := parse(network, spec)
	if err != nil {
		return nil, fmt.Errorf("forward %s: %w", quote(spec), err)
	}
	return forwards, nil
}

func parse(network Network, spec string) ([]Forward, error) {
	fields, err := split(spec)
	if err != nil {
		return nil, err
	}
	var bind, target string
	var listenPorts, targetPorts string
	switch len(fields) {
	case 1:
		listenPorts = fields[0]
	case 2:
		bind, listenPorts = fields[0], fields[1]
	case 3:
		listenPorts, target, targetPorts = fields[0], fields[1], fields[2]
	case 4:
		bind, listenPorts, target, targetPorts = fields[0], fields[1], fields[2], fields[3]
	}
	explicit := len(fields) >= 3
	if len(fields) == 2 && isDigits(bind) {
		return nil, fmt.Errorf("%s is not a bind address: name the target too, as in %s",
			quote(bind), withTarget(bind, listenPorts))
	}
	if _, err := parseRange(fields[0]); err != nil && explicit && fields[1] == "" {
		return nil, errors.New("two colons follow each other: IPv6 addresses stand in brackets, as in [::1]:8080:[fd00::7]:80")
	}
	if bind, err = parseBind(bind); err != nil {
		return nil, err
	}
	if explicit {
		if target, err = parseTarget(target); err != nil {
			return nil, err
		}
	} else {
		target = DefaultTarget
	}
	listen, to, err := parsePorts(listenPorts, targetPorts, explicit)
	if err != nil {
		return nil, err
	}
	forwards := make([]Forward, listen.Len())
	for i := range forwards {
		forwards[i] = Forward{
			Network:    network,
			BindHost:   bind,
			BindPort:   listen.First + uint16(i),
			TargetHost: target,
			TargetPort: to.First + uint16(i),
		}
	}
	return forwards, nil
}

// withTarget is a SPEC that would do for one that has no more than a port and what
// was meant as the target's port or host.
func withTarget(port, target string) string {
	spec := port + ":" + DefaultTarget + ":" + port
	if _, err := parseRange(target); err == nil {
		spec = port + ":" + DefaultTarget + ":" + target
	} else if _, err := parseTarget(target); err == nil {
		spec = port + ":" + target + ":" + port
	}
	if _, err := parse(TCP, spec); err != nil {
		return "8080:" + DefaultTarget + ":80"
	}
	return spec
}

// split takes a SPEC apart at the colons outside brackets, into one to four
// fields.
func split(spec string) ([]string, error) {
	if spec == "" {
		return nil, errors.New("it is empty: want a port or more, as in 25565 or 8080:127.0.0.1:80")
	}
	var fields []string
	for rest, more := spec, true; more; {
		if len(fields) == 4 {
			return nil, errors.New("it has more than four fields: " +
				"IPv6 addresses stand in brackets, as in [::1]:8080:[fd00::7]:80")
		}
		end := 0
		if strings.HasPrefix(rest, "[") {
			end = strings.IndexByte(rest, ']') + 1
			if end == 0 {
				return nil, fmt.Errorf("%s lacks its closing bracket: write IPv6 addresses as in [::1]:8080", quote(rest))
			}
			if end < len(rest) && rest[end] != ':' {
				return nil, fmt.Errorf("%s follows a closing bracket: want a colon there, as in [::1]:8080", quote(rest[end:]))
			}
		}
		colon := strings.IndexByte(rest[end:], ':')
		if colon < 0 {
			fields, more = append(fields, rest), false
			continue
		}
		fields, rest = append(fields, rest[:end+colon]), rest[end+colon+1:]
	}
	return fields, nil
}

// parsePorts reads the ports to listen on and those of the target, as many.
func parsePorts(listenText, targetText string, explicit bool) (listen, target PortRange, err error) {
	none := PortRange{}
	if listen, err = parseRange(listenText); err != nil {
		return none, none, err
	}
	if listen.Len() > MaxRange {
		return none, none, fmt.Errorf("range %s has %d ports, at most %d are allowed as each is a socket on the relay: "+
			"split it or ask for less, as in 27015-27020", quote(listenText), listen.Len(), MaxRange)
	}
	if !explicit {
		if listen.First == 0 {
			return none, none, errors.New("port 0 lets the relay choose and so needs a target: write 0:127.0.0.1:25565")
		}
		return listen, listen, nil
	}
	if target, err = parseRange(targetText); err != nil {
		return none, none, err
	}
	if target.First == 0 {
		return none, none, fmt.Errorf("target port %s cannot be reached: want a number from 1 to 65535, as in 0:127.0.0.1:25565",
			quote(targetText))
	}
	if target.Len() != 1 {
		if target.Len() != listen.Len() {
			return none, none, fmt.Errorf("target range %s has %d ports and %s has %d: want as many, or the first alone, as in 27015-27020:127.0.0.1:30000",
				quote(targetText), target.Len(), quote(listenText), listen.Len())
		}
		return listen, target, nil
	}
	last := int(target.First) + listen.Len() - 1
	if last > int(EveryPort.Last) {
		return none, none, fmt.Errorf("target port %s leaves no room for the %d ports of %s, they would end at %d: "+
			"start lower, as in 27015-27020:127.0.0.1:30000", quote(targetText), listen.Len(), quote(listenText), last)
	}
	return listen, PortRange{target.First, uint16(last)}, nil // #nosec G115 -- checked above
}

// parseBind reads a bind address: nothing or "*" for every address, an address
// or a name. Only its form is judged: which addresses there are, the relay
// knows.
func parseBind(text string) (string, error) {
	if text == "" || text == "*" {
		return "", nil
	}
	host, err := parseHost(text)
	if err != nil {
		return "", fmt.Errorf("bind address %w, as in 0.0.0.0:25565, [::1]:25565 or localhost:25565", err)
	}
	return host, nil
}

// parseTarget reads a target's host.
func parseTarget(text string) (string, error) {
	if text == "" {
		return "", errors.New("the target's host is empty: name it, as in 25565:127.0.0.1:25565")
	}
	host, err := parseHost(text)
	if err != nil {
		return "", fmt.Errorf("target host %w, as in 8080:192.168.1.7:80 or 8080:[fd00::7]:80", err)
	}
	return host, nil
}

// parseHost reads a name, an IPv4 address or an IPv6 address in brackets, and
// returns it without brackets.
func parseHost(text string) (string, error) {
	if len(text) > maxHost {
		return "", fmt.Errorf("%s is longer than %d bytes: use a shorter one", quote(text), maxHost)
	}
	if inside, ok := strings.CutPrefix(text, "["); ok {
		inside = strings.TrimSuffix(inside, "]")
		addr, err := netip.ParseAddr(inside)
		if err != nil || !addr.Is6() || strings.ContainsFunc(addr.Zone(), notHost) {
			return "", fmt.Errorf("%s is not an IPv6 address: brackets are for those alone", quote(inside))
		}
		return inside, nil
	}
	if strings.ContainsFunc(text, notHost) {
		return "", fmt.Errorf("%s is neither a name nor an address: want letters, digits, dots and dashes", quote(text))
	}
	if isNumeric(text) {
		if _, err := netip.ParseAddr(text); err != nil {
			return "", fmt.Errorf("%s is not an IPv4 address: want four numbers from 0 to 255", quote(text))
		}
	}
	return text, nil
}

// notHost says that r can't be part of a host's name. Letters of any script
// may: what they become is the resolver's matter.
func notHost(r rune) bool {
	return r == unicode.ReplacementChar ||
		!unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && !strings.ContainsRune(".-_", r)
}

func isDigits(text string) bool { return text != "" && strings.Trim(text, "0123456789") == "" }

// isNumeric says that text consists of digits and dots: an attempt at an IPv4
// address, as no top-level domain is a number (RFC 3696 §2).
func isNumeric(text string) bool { return strings.Trim(text, "0123456789.") == "" }
