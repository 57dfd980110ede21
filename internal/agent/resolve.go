package agent

import (
	"context"
	"net/netip"
	"sync"
	"time"
)

// resolver finds a relay's addresses, anew each time. Where DNS has no answer, as
// when the line has only just come back, the address that was last connected to
// will do: the host key says whether it is still the relay's. Safe for concurrent
// use.
type resolver struct {
	find lookup

	mu   sync.Mutex
	last netip.Addr // guarded by mu; zero if there is none
}

// lookup is a lookup.
func (r *resolver) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if !last.IsValid() {
		return r.find(ctx, network, host)
	}
	type answer struct {
		addrs []netip.Addr
		err   error
	}
	answers := make(chan answer, 1)
	ctx, cancel := context.WithCancel(ctx) // ends the question when it isn't waited for
	defer cancel()
	go func() {
		addrs, err := r.find(ctx, network, host)
		answers <- answer{addrs, err}
	}()
	timer := time.NewTimer(lookupPatience)
	defer timer.Stop()
	select {
	case a := <-answers:
		if a.err == nil && len(a.addrs) > 0 {
			return a.addrs, nil
		}
	case <-timer.C:
	}
	return []netip.Addr{last}, nil
}

// connected notes an address that was connected to.
func (r *resolver) connected(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = addr
}
