package relay

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"funnel/internal/limit"
)

// MaxStartups bounds the connections that aren't authenticated yet (sshd_config's
// MaxStartups): from Start on, Rate of a hundred new ones are dropped, more of
// them the more there are, and all from Full on.
type MaxStartups struct{ Start, Rate, Full int }

// ParseMaxStartups reads "start:rate:full", or one number for both ends.
func ParseMaxStartups(text string) (MaxStartups, error) {
	var m MaxStartups
	fields := strings.Split(text, ":")
	numbers := make([]int, len(fields))
	for i, field := range fields {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > 1<<20 {
			return m, fmt.Errorf("%q: want start:rate:full, as in 64:30:256", text)
		}
		numbers[i] = n
	}
	switch len(numbers) {
	case 1:
		m = MaxStartups{numbers[0], 100, numbers[0]}
	case 3:
		m = MaxStartups{numbers[0], numbers[1], numbers[2]}
	default:
		return m, fmt.Errorf("%q: want start:rate:full, as in 64:30:256", text)
	}
	if m.Start > m.Full || m.Rate > 100 {
		return m, fmt.Errorf("%q: want a start of at most full, and a rate of at most 100", text)
	}
	return m, nil
}

// drops says whether to drop one more connection when there are count, chance
// being from 0 to 99.
func (m MaxStartups) drops(count, chance int) bool {
	switch {
	case count < m.Start:
		return false
	case count >= m.Full || m.Rate == 100:
		return true
	}
	p := m.Rate + (100-m.Rate)*(count-m.Start)/(m.Full-m.Start)
	return chance < p
}

// startups bounds the connections that aren't authenticated yet, all together
// and for each source. Sources that logged in lately have places of their own,
// so that a crowd of strangers keeps no agent out. Safe for concurrent use.
type startups struct {
	most      MaxStartups
	perSource int
	group     func(netip.Addr) netip.Prefix
	rate      *limit.Buckets // new connections of a source
	exempt    []netip.Prefix // sources without that rate

	mu       sync.Mutex
	count    int                        // guarded by mu, as all below; of strangers
	reserved int                        // of known sources beyond that
	bySource map[netip.Prefix]int       // none is zero
	known    map[netip.Prefix]time.Time // sources, by their last login
}

func newStartups(l Limits) *startups {
	return &startups{
		most:      l.MaxStartups,
		perSource: l.PerSourceMaxStartups,
		group:     l.source,
		exempt:    l.PenaltyExempt,
		rate:      limit.NewBuckets(rateSources, l.PerSourceRate, max(1, l.PerSourceRate*rateBurst)),
		bySource:  make(map[netip.Prefix]int),
		known:     make(map[netip.Prefix]time.Time),
	}
}

// admit lets one more connection in, until release is called, or says why not.
func (s *startups) admit(remote netip.Addr, now time.Time) (release func(), refusal string) {
	source := s.group(remote)
	if !exempt(s.exempt, remote) && !s.rate.Take(source, now) {
		return nil, "its source connects too often"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bySource[source] >= s.perSource {
		return nil, "its source has too many connections that are not logged in"
	}
	counted := &s.count
	if s.most.drops(s.count, rand.IntN(100)) { // #nosec G404 -- no secret
		if _, known := s.known[source]; !known || s.reserved >= reservedStartups {
			return nil, "too many connections are not logged in"
		}
		counted = &s.reserved
	}
	*counted++
	s.bySource[source]++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*counted--
		if s.bySource[source]--; s.bySource[source] == 0 {
			delete(s.bySource, source)
		}
	}), ""
}

// remember notes that a source has logged in.
func (s *startups) remember(remote netip.Addr, now time.Time) {
	source := s.group(remote)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.known[source]; !known && len(s.known) >= maxKnown {
		oldest, at := netip.Prefix{}, now
		for other, last := range s.known {
			if !last.After(at) {
				oldest, at = other, last
			}
		}
		delete(s.known, oldest)
	}
	s.known[source] = now
}

// knows says whether a source has logged in lately.
func (s *startups) knows(remote netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.known[s.group(remote)]
	return known
}

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
