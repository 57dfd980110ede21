package netwatch

import (
	"maps"
	"net/netip"
	"slices"
)

// state is what of the host's network matters to reaching a relay.
type state struct {
	addresses map[address]bool
	links     map[string]bool   // by name, whether it is up: those with an address or a route
	routes    map[string]string // by what a log line calls them; the value is where they lead
}

// address is an address of the host's own.
type address struct {
	addr netip.Addr
	link string // its name, empty where the system doesn't tell
}

func newState() state {
	return state{make(map[address]bool), make(map[string]bool), make(map[string]string)}
}

// matters reports whether a relay can be reached from an address at all:
// loopback stays within the host, and link-local addresses come and go with
// every container without meaning anything to others.
func matters(addr netip.Addr) bool {
	return addr.IsValid() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !addr.IsMulticast() && !addr.IsUnspecified()
}

// changesTo says in words what differs in the later state.
func (s state) changesTo(later state) []string {
	var seen []string
	for _, name := range slices.Sorted(maps.Keys(s.links)) {
		// A link that comes or goes is told of by its addresses and routes.
		if up, still := later.links[name]; still && up != s.links[name] {
			seen = append(seen, "link "+name+" "+map[bool]string{true: "up", false: "down"}[up])
		}
	}
	seen = append(seen, addressesMissing(s, later, "removed")...)
	seen = append(seen, addressesMissing(later, s, "added")...)
	for _, name := range slices.Sorted(maps.Keys(s.routes)) {
		switch leads, still := later.routes[name]; {
		case !still:
			seen = append(seen, name+" removed")
		case leads != s.routes[name]:
			seen = append(seen, name+" changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(later.routes)) {
		if _, before := s.routes[name]; !before {
			seen = append(seen, name+" added")
		}
	}
	return seen
}

// addressesMissing says which addresses of one state the other doesn't have.
func addressesMissing(of, in state, verb string) []string {
	var seen []string
	for a := range of.addresses {
		if in.addresses[a] {
			continue
		}
		words := "address " + a.addr.String() + " " + verb
		if a.link != "" {
			words += " on " + a.link
		}
		seen = append(seen, words)
	}
	slices.Sort(seen)
	return seen
}
