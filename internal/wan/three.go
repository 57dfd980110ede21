package wan

import (
	"errors"
	"net/netip"
)

// Subnets of the three hosts' links, out of the block that RFC 2544 sets aside
// for benchmarks: public to programs that look, and never routed.
var (
	playerSubnet = netip.MustParsePrefix("198.18.1.0/24")
	homeSubnet   = netip.MustParsePrefix("198.18.2.0/24")
)

// Three are the hosts of every scenario, player - VPS - home, and the links
// between them. The VPS routes, so that the player also reaches home without
// a tunnel, at HomeLink.Addr(Home): the baseline.
type Three struct {
	*World
	Player, VPS, Home *Host
	PlayerLink        *Link // a is Player, b is VPS: both links' a to b leads home
	HomeLink          *Link // a is VPS, b is Home
}

// NewThree makes a world of three hosts on perfect links. Close removes all of it.
func NewThree(options Options) (*Three, error) {
	w, err := New(options)
	if err != nil {
		return nil, err
	}
	t := &Three{World: w}
	if err := t.build(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return t, nil
}

func (t *Three) build() (err error) {
	for _, h := range []struct {
		name string
		host **Host
	}{{"player", &t.Player}, {"vps", &t.VPS}, {"home", &t.Home}} {
		if *h.host, err = t.Host(h.name); err != nil {
			return err
		}
	}
	if t.PlayerLink, err = t.Link(t.Player, t.VPS, playerSubnet); err != nil {
		return err
	}
	if t.HomeLink, err = t.Link(t.VPS, t.Home, homeSubnet); err != nil {
		return err
	}
	if err := t.VPS.Sysctl("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	if err := t.Player.DefaultVia(t.PlayerLink); err != nil {
		return err
	}
	return t.Home.DefaultVia(t.HomeLink)
}
