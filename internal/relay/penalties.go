package relay

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Penalties are for how long a source is kept out for what it did (sshd_config's
// PerSourcePenalties). They add up, to at most Max; a source is kept out from
// when they reach Min until they have run out. To come meanwhile adds nothing, as
// in sshd. The zero Penalties keep nobody out.
type Penalties struct {
	AuthFail      time.Duration // for a login that was refused
	NoAuth        time.Duration // for a connection that tried none
	GraceExceeded time.Duration // for one that used up the login grace time
	Max, Min      time.Duration
	MaxSources    int // that are remembered, at most
}

// DefaultPenalties are sshd's own (OpenSSH 9.8).
func DefaultPenalties() Penalties {
	return Penalties{
		AuthFail: 5 * time.Second, NoAuth: time.Second, GraceExceeded: 10 * time.Second,
		Max: 10 * time.Minute, Min: 15 * time.Second, MaxSources: 65536,
	}
}

// ParsePenalties reads sshd's form, "authfail:5s noauth:1s max:10m", where what
// isn't named is as in DefaultPenalties; "yes" for those; or "no" for none. Of
// sshd's penalties refuseconnection is for an option of its Match blocks, which
// the relay doesn't have: it is understood and does nothing.
func ParsePenalties(text string) (Penalties, error) {
	p := DefaultPenalties()
	switch text {
	case "no":
		return Penalties{}, nil
	case "yes", "":
		return p, nil
	}
	durations := map[string]*time.Duration{
		"authfail": &p.AuthFail, "noauth": &p.NoAuth, "grace-exceeded": &p.GraceExceeded,
		"refuseconnection": new(time.Duration), "max": &p.Max, "min": &p.Min,
	}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, ":")
		if name == "max-sources" {
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 1<<20 {
				return Penalties{}, fmt.Errorf("%q: want a number of sources from 1 to %d", field, 1<<20)
			}
			p.MaxSources = n
			continue
		}
		target := durations[name]
		if target == nil {
			return Penalties{}, fmt.Errorf(`%q is not a penalty: want them as in "authfail:5s noauth:1s grace-exceeded:10s max:10m min:15s", or no`, field)
		}
		duration, err := parseSeconds(value)
		if err != nil {
			return Penalties{}, fmt.Errorf("%q: want a time, as in %s:5s", field, name)
		}
		*target = duration
	}
	return p, nil
}

// parseSeconds reads a duration, where a bare number is of seconds as in sshd.
func parseSeconds(text string) (time.Duration, error) {
	if n, err := strconv.Atoi(text); err == nil {
		text = strconv.Itoa(n) + "s"
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration < 0 || duration > 24*time.Hour {
		return 0, fmt.Errorf("%q is not a time up to a day", text)
	}
	return duration, nil
}

// book holds the penalties of sources. Safe for concurrent use.
type book struct {
	penalties Penalties
	exempt    []netip.Prefix
	group     func(netip.Addr) netip.Prefix

	mu      sync.Mutex
	sources map[netip.Prefix]*penalty // guarded by mu
}

type penalty struct {
	until  time.Time
	active bool // it has reached the minimum
}

func newBook(l Limits) *book {
	return &book{penalties: l.Penalties, exempt: l.PenaltyExempt, group: l.source, sources: make(map[netip.Prefix]*penalty)}
}

// free says whether a source gets no penalties.
func (b *book) free(remote netip.Addr) bool {
	return b.penalties.Max == 0 || exempt(b.exempt, remote)
}

// exempt says whether an address is in one of some networks.
func exempt(networks []netip.Prefix, remote netip.Addr) bool {
	remote = remote.WithZone("")
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(remote) })
}

// add adds to a source's penalty. It returns for how long the source is kept
// out if it is from now on, and wasn't.
func (b *book) add(remote netip.Addr, amount time.Duration, now time.Time) (kept time.Duration) {
	if amount == 0 || b.free(remote) {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	source := b.group(remote)
	p := b.sources[source]
	if p == nil {
		if len(b.sources) >= b.penalties.MaxSources {
			b.shrink(now)
		}
		p = &penalty{until: now}
		b.sources[source] = p
	}
	if p.until.Before(now) {
		*p = penalty{until: now}
	}
	p.until = p.until.Add(amount)
	if most := now.Add(b.penalties.Max); p.until.After(most) {
		p.until = most
	}
	if p.active || p.until.Sub(now) < b.penalties.Min {
		return 0
	}
	p.active = true
	return p.until.Sub(now)
}

// shrink makes room: for one more it forgets those that ran out and, if there
// are none, any: sshd's overflow:permissive.
func (b *book) shrink(now time.Time) {
	before := len(b.sources)
	for source, p := range b.sources {
		if p.until.Before(now) {
			delete(b.sources, source)
		}
	}
	if len(b.sources) < before {
		return
	}
	for source := range b.sources {
		delete(b.sources, source)
		return
	}
}

// keepsOut says whether a source is kept out. It adds nothing to the penalty:
// agents that only come again are let in when it has run out.
func (b *book) keepsOut(remote netip.Addr, now time.Time) bool {
	if b.free(remote) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.sources[b.group(remote)]
	return p != nil && p.active && p.until.After(now)
}
