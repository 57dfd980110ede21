package relay

import (
	"net/netip"
	"time"

	"funnel/internal/limit"
)

// Limits bound what strangers and agents may take. Zero values mean the
// defaults, but for PerSourceRate and Penalties, where they mean no bound.
type Limits struct {
	// Before authentication, named after sshd's options.
	LoginGraceTime       time.Duration
	MaxStartups          MaxStartups
	MaxAuthTries         int
	PerSourceMaxStartups int
	PerSourceRate        float64 // new connections a second
	SourceBits4          int     // PerSourceNetBlockSize: how much of an address
	SourceBits6          int     // belongs to one stranger
	Penalties            Penalties
	PenaltyExempt        []netip.Prefix // sources without penalties and PerSourceRate

	// After it, of the relay as a whole.
	MaxLinks    int
	MaxForwards int // bound ports, TCP and UDP together
	MaxConns    int
	MaxFlows    int
}

func (l Limits) withDefaults() Limits {
	defaults := Limits{
		LoginGraceTime: handshakeTimeout, MaxAuthTries: authTries, PerSourceMaxStartups: maxStartupsPerSource,
		SourceBits4: 32, SourceBits6: 64,
		MaxLinks: maxLinks, MaxForwards: maxForwards, MaxConns: maxAllConns, MaxFlows: maxAllFlows,
	}
	if l.LoginGraceTime <= 0 {
		l.LoginGraceTime = defaults.LoginGraceTime
	}
	if l.MaxStartups == (MaxStartups{}) {
		l.MaxStartups = DefaultMaxStartups
	}
	for _, field := range []struct {
		value *int
		byDef int
	}{
		{&l.MaxAuthTries, defaults.MaxAuthTries}, {&l.PerSourceMaxStartups, defaults.PerSourceMaxStartups},
		{&l.SourceBits4, defaults.SourceBits4}, {&l.SourceBits6, defaults.SourceBits6},
		{&l.MaxLinks, defaults.MaxLinks}, {&l.MaxForwards, defaults.MaxForwards},
		{&l.MaxConns, defaults.MaxConns}, {&l.MaxFlows, defaults.MaxFlows},
	} {
		if *field.value <= 0 {
			*field.value = field.byDef
		}
	}
	return l
}

// source is what belongs to one stranger: by default an IPv4 address, or the
// IPv6 network that a subscriber is given at least (RFC 6177).
func (l Limits) source(remote netip.Addr) netip.Prefix {
	return limit.Source(remote, l.SourceBits4, l.SourceBits6)
}

// counters are what there is of each kind at the relay.
type counters struct {
	links, forwards, conns, flows *limit.Counter
}

func newCounters(l Limits) counters {
	return counters{
		links: limit.NewCounter(l.MaxLinks), forwards: limit.NewCounter(l.MaxForwards),
		conns: limit.NewCounter(l.MaxConns), flows: limit.NewCounter(l.MaxFlows),
	}
}
