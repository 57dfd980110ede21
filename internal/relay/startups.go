package relay

import (
	"container/list"
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
// so that a crowd of strangers keeps no agent out. Where sshd drops a new
// connection, the one that has been there longest gives way to it if it has had
// the time a login takes: who holds places without logging in must not keep out
// those who come to do so. Safe for concurrent use.
type startups struct {
	most      MaxStartups
	perSource int
	group     func(netip.Addr) netip.Prefix
	rate      *limit.Buckets // new connections of a source
	exempt    []netip.Prefix // sources without that rate

	mu       sync.Mutex
	count    int                        // guarded by mu, as all below; of strangers
	waiting  list.List                  // of *startup: those of unknown sources, the oldest first
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

// startup is one of the connections.
type startup struct {
	since   time.Time
	source  netip.Prefix
	yield   func()
	counted *int          // where it counts; nil when it does no longer
	place   *list.Element // among those that may have to give way, if it is one
}

// admit lets one more connection in, until release is called, or says why not.
// yield is called if it has to give way before that: it must not block, and
// release is still to be called.
func (s *startups) admit(remote netip.Addr, now time.Time, yield func()) (release func(), refusal string) {
	source := s.group(remote)
	if !exempt(s.exempt, remote) && !s.rate.Take(source, now) {
		return nil, "its source connects too often"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bySource[source] >= s.perSource {
		return nil, "its source has too many connections that are not logged in"
	}
	_, known := s.known[source]
	one := &startup{since: now, source: source, yield: yield, counted: &s.count}
	if s.most.drops(s.count, rand.IntN(100)) { // #nosec G404 -- no secret
		switch {
		case known && s.reserved < reservedStartups:
			one.counted = &s.reserved
		case !s.makeRoom(now):
			return nil, "too many connections are not logged in"
		}
	}
	*one.counted++
	s.bySource[source]++
	if !known {
		one.place = s.waiting.PushBack(one)
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.remove(one)
	}, ""
}

// makeRoom has the oldest stranger give way, if it has had its time. The
// startups are locked.
func (s *startups) makeRoom(now time.Time) bool {
	oldest := s.waiting.Front()
	if oldest == nil {
		return false
	}
	one := oldest.Value.(*startup)
	if now.Sub(one.since) < loginTime {
		return false
	}
	s.remove(one)
	one.yield()
	return true
}

// remove counts a connection no longer, if it still does. The startups are
// locked.
func (s *startups) remove(one *startup) {
	if one.counted == nil {
		return
	}
	*one.counted--
	one.counted = nil
	if one.place != nil {
		s.waiting.Remove(one.place)
	}
	if s.bySource[one.source]--; s.bySource[one.source] == 0 {
		delete(s.bySource, one.source)
	}
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
