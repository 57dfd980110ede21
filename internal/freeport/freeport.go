// Package freeport finds ports for what tests and benchmarks start: ports that
// nobody else is given while they aren't bound yet, or not any more.
package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
)

// Range is the ports of one package, which run at the same time as others'. All lie
// below those that systems choose from for who connects or doesn't ask for one
// (Linux: ip_local_port_range, from 32768), so that none is anybody's by the time it
// is used. Its methods may be called at the same time.
type Range struct {
	first, count uint32
	tried        atomic.Uint32
}

// The ranges of all that need one.
var (
	Relay   = newRange(10_000, 10_000)
	Agent   = newRange(20_000, 1_500)
	Replay  = newRange(21_600, 100)
	Session = newRange(21_700, 200)
	UDPIO   = newRange(21_900, 100)
	E2E     = newRange(22_000, 8_000)
	Lab     = newRange(30_100, 2_600)
)

// newRange begins somewhere in the range, as another run of the same tests may be
// under way.
func newRange(first, count uint32) *Range {
	r := &Range{first: first, count: count}
	r.tried.Store(rand.Uint32N(count)) // #nosec G404 -- where a search begins
	return r
}

// Next is one port after the other, in turn: none is anybody's twice until all have
// been.
func (r *Range) Next() uint16 { return uint16(r.first + r.tried.Add(1)%r.count) } // #nosec G115 -- below 32768

// Find is the next port that nobody has at the moment at an address, for TCP or
// UDP. The zero address is any, in both families.
func (r *Range) Find(address netip.Addr) (uint16, error) {
	var reason error
	for range r.count {
		port := r.Next()
		if reason = free(address, port); reason == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("none of the ports %s is free: %w", r, reason)
}

// String is the range as permits and policies have it.
func (r *Range) String() string { return fmt.Sprintf("%d-%d", r.first, r.first+r.count-1) }

func free(address netip.Addr, port uint16) error {
	at := fmt.Sprintf(":%d", port)
	if address.IsValid() {
		at = netip.AddrPortFrom(address, port).String()
	}
	listener, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	defer listener.Close()
	conn, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	return conn.Close()
}
