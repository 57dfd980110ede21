package system

import (
	"context"
	"net/netip"
)

// Direct is no tunnel: the player talks to home by the VPS's routing.
func Direct() *System {
	return &System{
		Name: "direct", What: "no tunnel: the player talks to the server itself",
		UDP: true, TCP: true,
		start: func(_ context.Context, place *Place, targets *Targets, running *Running) error {
			at := func(port uint16) string { return netip.AddrPortFrom(place.Direct, port).String() }
			running.UDP, running.TCP, running.Bulk = at(targets.UDP.Port()), at(targets.TCP.Port()), at(targets.Bulk.Port())
			return nil
		},
	}
}
