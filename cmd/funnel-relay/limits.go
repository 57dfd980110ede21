package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"funnel/internal/relay"
)

// limitFlags bound what strangers and agents may take.
type limitFlags struct {
	LoginGraceTime time.Duration `name:"login-grace-time" default:"15s" placeholder:"15s" group:"Before a login, named as in sshd_config" help:"Hang up on who has not logged in by then (default 15s)."`
	MaxStartups    string        `name:"max-startups" default:"64:30:256" placeholder:"64:30:256" group:"Before a login, named as in sshd_config" help:"Connections that are not logged in: from 64 on drop 30 of 100 new ones, more of them the more there are, and all at 256 (default 64:30:256). Some more places are kept for who logged in before."`
	MaxAuthTries   int           `name:"max-auth-tries" default:"6" placeholder:"6" group:"Before a login, named as in sshd_config" help:"Keys that a client may show (default 6)."`

	PerSourceMaxStartups  int      `name:"per-source-max-startups" default:"32" placeholder:"32" group:"Before a login, named as in sshd_config" help:"Connections of one source that are not logged in (default 32)."`
	PerSourceRate         float64  `name:"per-source-rate" default:"10" placeholder:"10" group:"Before a login, named as in sshd_config" help:"New connections of one source a second, four seconds' worth at once; 0 for no bound (default 10)."`
	PerSourceNetBlockSize string   `name:"per-source-net-block-size" default:"32:64" placeholder:"32:64" group:"Before a login, named as in sshd_config" help:"What of an address is one source: bits of IPv4, of IPv6 (default 32:64)."`
	PerSourcePenalties    string   `name:"per-source-penalties" default:"yes" placeholder:"yes" group:"Before a login, named as in sshd_config" help:"For how long a source is kept out for what it did, as in \"authfail:5s noauth:1s grace-exceeded:10s max:10m min:15s\", which is yes; or no (default yes). refuseconnection is understood, and does nothing: who comes while kept out is not kept out for longer."`
	PenaltyExempt         []string `name:"per-source-penalty-exempt-list" default:"127.0.0.0/8,::1" placeholder:"NETWORK" group:"Before a login, named as in sshd_config" help:"Sources without penalties and --per-source-rate: addresses and networks, or none. Repeatable. Default: this machine."`

	MaxLinks    int `name:"max-links" default:"4096" placeholder:"4096" group:"After it, of all agents together" help:"SSH connections (default 4096)."`
	MaxForwards int `name:"max-forwards" default:"8192" placeholder:"8192" group:"After it, of all agents together" help:"Bound ports, TCP and UDP (default 8192)."`
	MaxConns    int `name:"max-connections" default:"20000" placeholder:"20000" group:"After it, of all agents together" help:"TCP connections of clients (default 20000)."`
	MaxAllFlows int `name:"max-all-flows" default:"65536" placeholder:"65536" group:"After it, of all agents together" help:"UDP flows (default 65536)."`
}

// check finds what can't work.
func (f *limitFlags) check() error {
	if f.LoginGraceTime <= 0 {
		return fmt.Errorf("--login-grace-time %s: must be more than 0, for example 15s", f.LoginGraceTime)
	}
	if f.PerSourceRate < 0 {
		return fmt.Errorf("--per-source-rate %v: must be 0 or more, for example 10", f.PerSourceRate)
	}
	for _, flag := range []struct {
		name  string
		value int
	}{
		{"max-auth-tries", f.MaxAuthTries}, {"per-source-max-startups", f.PerSourceMaxStartups}, {"max-links", f.MaxLinks},
		{"max-forwards", f.MaxForwards}, {"max-connections", f.MaxConns}, {"max-all-flows", f.MaxAllFlows},
	} {
		if flag.value < 1 {
			return fmt.Errorf("--%s %d: must be 1 or more", flag.name, flag.value)
		}
	}
	_, err := f.limits()
	return err
}

// limits is what the flags say.
func (f *limitFlags) limits() (relay.Limits, error) {
	l := relay.Limits{
		LoginGraceTime: f.LoginGraceTime, MaxAuthTries: f.MaxAuthTries,
		PerSourceMaxStartups: f.PerSourceMaxStartups, PerSourceRate: f.PerSourceRate,
		MaxLinks: f.MaxLinks, MaxForwards: f.MaxForwards, MaxConns: f.MaxConns, MaxFlows: f.MaxAllFlows,
	}
	var err error
	if l.MaxStartups, err = relay.ParseMaxStartups(f.MaxStartups); err != nil {
		return l, fmt.Errorf("--max-startups %w", err)
	}
	if l.Penalties, err = relay.ParsePenalties(f.PerSourcePenalties); err != nil {
		return l, fmt.Errorf("--per-source-penalties %w", err)
	}
	if l.SourceBits4, l.SourceBits6, err = parseNetBlock(f.PerSourceNetBlockSize); err != nil {
		return l, fmt.Errorf("--per-source-net-block-size %w", err)
	}
	for _, text := range f.PenaltyExempt {
		if text == "none" {
			continue
		}
		prefix, err := parseNetwork(text)
		if err != nil {
			return l, fmt.Errorf("--per-source-penalty-exempt-list %w", err)
		}
		l.PenaltyExempt = append(l.PenaltyExempt, prefix)
	}
	return l, nil
}

// parseNetBlock reads bits4:bits6.
func parseNetBlock(text string) (bits4, bits6 int, err error) {
	first, second, _ := strings.Cut(text, ":")
	bits4, err4 := strconv.Atoi(first)
	bits6, err6 := strconv.Atoi(second)
	if err4 != nil || err6 != nil || bits4 < 1 || bits4 > 32 || bits6 < 1 || bits6 > 128 {
		return 0, 0, fmt.Errorf("%q: want bits of IPv4 and of IPv6 addresses, as in 32:64", text)
	}
	return bits4, bits6, nil
}

// parseNetwork reads an address or a prefix.
func parseNetwork(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		return prefix.Masked(), nil
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q: want addresses and networks, as in 192.0.2.7,2001:db8::/32, or none", text)
	}
	return netip.PrefixFrom(address, address.BitLen()), nil
}
