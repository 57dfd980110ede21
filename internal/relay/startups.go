package relay

import (
	"net/netip"
	"sync"
)

// tally counts what is there under each name, up to a bound. Safe for
// concurrent use.
type tally struct {
	most int

	mu     sync.Mutex
	counts map[string]int // guarded by mu; none is zero
}

func newTally(most int) *tally { return &tally{most: most, counts: make(map[string]int)} }

// add counts one more under name, until release is called, unless there are as
// many as may be.
func (t *tally) add(name string) (release func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[name] >= t.most {
		return nil, false
	}
	t.counts[name]++
	return func() { t.remove(name) }, true
}

func (t *tally) remove(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts[name]--; t.counts[name] == 0 {
		delete(t.counts, name)
	}
}

// startups bounds the connections that aren't authenticated yet, all together
// and for each source.
type startups struct {
	all      slots
	bySource *tally
}

func newStartups() *startups {
	return &startups{all: make(slots, maxStartups), bySource: newTally(maxStartupsPerSource)}
}

// admit lets one more connection in, until release is called.
func (s *startups) admit(remote netip.Addr) (release func(), ok bool) {
	leave, ok := s.bySource.add(source(remote))
	if !ok {
		return nil, false
	}
	if !s.all.take() {
		leave()
		return nil, false
	}
	return func() {
		s.all.give()
		leave()
	}, true
}

// source is what belongs to one stranger: an IPv4 address, or the IPv6 network
// that a subscriber is given at least (RFC 6177).
func source(remote netip.Addr) string {
	if remote.Is6() {
		if network, err := remote.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return remote.String()
}

// slots is a number of places, as many as its capacity.
type slots chan struct{}

// take takes a place if there is one.
func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

// give gives a place back that was taken.
func (s slots) give() { <-s }
