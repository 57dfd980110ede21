package forward

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Len is the number of ports in the range.
func (r PortRange) Len() int { return int(r.Last) - int(r.First) + 1 }

// Contains says whether port is in the range.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// String is "25565" or "27015-27020".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// EveryPort is all ports that can be bound. Port 0 isn't one of them: it asks
// for some port.
var EveryPort = PortRange{First: 1, Last: 65535}

// Ports is a set of ports. Those made by this package are sorted, and their
// ranges neither touch nor overlap. The nil Ports is the empty set.
type Ports []PortRange

// ParsePorts reads a comma-separated list of ports and ranges, as in
// "1024-65535,443". A "*" stands for every port.
func ParsePorts(text string) (Ports, error) {
	var ports Ports
	for part := range strings.SplitSeq(text, ",") {
		if part == "*" {
			ports = append(ports, EveryPort)
			continue
		}
		r, err := parseRange(part)
		if err == nil && r.First == 0 {
			err = errors.New(`port 0 cannot be listed: want a number from 1 to 65535, or "*" for every port`)
		}
		if err != nil {
			return nil, fmt.Errorf("ports %s: %w", quote(text), err)
		}
		ports = append(ports, r)
	}
	return ports.normal(), nil
}

// normal sorts p and joins ranges that touch or overlap.
func (p Ports) normal() Ports {
	slices.SortFunc(p, func(a, b PortRange) int { return int(a.First) - int(b.First) })
	joined := p[:0]
	for _, r := range p {
		if n := len(joined); n > 0 && int(r.First) <= int(joined[n-1].Last)+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// Contains says whether port is in the set.
func (p Ports) Contains(port uint16) bool {
	return slices.ContainsFunc(p, func(r PortRange) bool { return r.Contains(port) })
}

// Len is the number of ports in the set.
func (p Ports) Len() int {
	n := 0
	for _, r := range p {
		n += r.Len()
	}
	return n
}

// At is the port at index i in ascending order, for i from 0 to Len()-1, and 0
// for any other i.
func (p Ports) At(i int) uint16 {
	if i < 0 {
		return 0
	}
	for _, r := range p {
		if i < r.Len() {
			return r.First + uint16(i) // #nosec G115 -- within the range
		}
		i -= r.Len()
	}
	return 0
}

// Union is the ports in either set.
func (p Ports) Union(q Ports) Ports {
	return slices.Concat(p, q).normal()
}

// Intersect is the ports in both sets.
func (p Ports) Intersect(q Ports) Ports {
	var both Ports
	for _, a := range p {
		for _, b := range q {
			if r := (PortRange{max(a.First, b.First), min(a.Last, b.Last)}); r.First <= r.Last {
				both = append(both, r)
			}
		}
	}
	return both.normal()
}

// String is in the form ParsePorts reads, with "*" for every port.
func (p Ports) String() string {
	texts := make([]string, len(p))
	for i, r := range p {
		if r == EveryPort {
			return "*"
		}
		texts[i] = r.String()
	}
	return strings.Join(texts, ",")
}

// parseRange reads "25565" or "27015-27020". A lone 0 is a range of its own.
func parseRange(text string) (PortRange, error) {
	first, last, isRange := strings.Cut(text, "-")
	from, err := parsePort(first)
	if err != nil || !isRange {
		return PortRange{from, from}, err
	}
	to, err := parsePort(last)
	if err != nil {
		return PortRange{}, err
	}
	if from == 0 {
		return PortRange{}, fmt.Errorf("range %s starts at 0: ports start at 1, as in 27015-27020", quote(text))
	}
	if to < from {
		return PortRange{}, fmt.Errorf("range %s ends before it starts: write %d-%d", quote(text), to, from)
	}
	return PortRange{from, to}, nil
}

// parsePort reads a port in decimal digits alone: no sign, no space, no
// service name.
func parsePort(text string) (uint16, error) {
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%s is not a port: want a number from 1 to 65535, as in 25565", quote(text))
	}
	return uint16(port), nil
}

// quote repeats a text in an error, cut if it is long.
func quote(text string) string {
	if len(text) > maxQuote {
		return strconv.Quote(text[:maxQuote]) + "..."
	}
	return strconv.Quote(text)
}
