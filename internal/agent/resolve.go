package agent

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// resolver finds a relay's addresses, anew each time. Where DNS has no answer in
// time, as when the line has only just come back, what is known will do: the host key
// says whether it is still the relay's. The question goes on meanwhile, for the next
// dial, one at a time. Safe for concurrent use; stop ends it.
type resolver struct {
	find  lookup
	life  context.Context // ends all questions
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu      sync.Mutex
	last    netip.Addr   // that was connected to; zero if there is none; guarded by mu, as all below
	answer  []netip.Addr // the last one of DNS
	asking  *question    // is under way; nil if none is
	stopped bool
}

// question is a lookup under way. Its addresses, none if it failed, are there once
// done is closed.
type question struct {
	done  chan struct{}
	addrs []netip.Addr
}

func newResolver(find lookup) *resolver {
	life, end := context.WithCancel(context.Background())
	return &resolver{find: find, life: life, end: end}
}

// stop ends the question under way, and waits for that.
func (r *resolver) stop() {
	r.mu.Lock()
	r.stopped = true
	r.mu.Unlock()
	r.end()
	r.tasks.Wait()
}

// lookup is a lookup.
func (r *resolver) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if !r.knowsOne() {
		return r.find(ctx, network, host)
	}
	q := r.ask(network, host)
	timer := time.NewTimer(lookupPatience)
	defer timer.Stop()
	select {
	case <-q.done:
		if len(q.addrs) > 0 {
			return q.addrs, nil
		}
	case <-timer.C:
	case <-ctx.Done():
	}
	return r.known(), nil
}

func (r *resolver) knowsOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.IsValid()
}

// ask begins a question, unless one is under way.
func (r *resolver) ask(network, host string) *question {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asking != nil {
		return r.asking
	}
	q := &question{done: make(chan struct{})}
	if r.stopped {
		close(q.done)
		return q
	}
	r.asking = q
	r.tasks.Go(func() {
		defer close(q.done)
		ctx, cancel := context.WithTimeout(r.life, lookupTimeout)
		defer cancel()
		addrs, err := r.find(ctx, network, host)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asking = nil
		if err == nil && len(addrs) > 0 {
			q.addrs, r.answer = addrs, addrs
		}
	})
	return q
}

// known is what to try without an answer: the address last connected to, if DNS named
// it the last time; else what it named, which may be where the relay has moved, and
// then that address.
func (r *resolver) known() []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.ContainsFunc(r.answer, func(a netip.Addr) bool { return a.Unmap() == r.last }) {
		return []netip.Addr{r.last}
	}
	return append(slices.Clone(r.answer), r.last)
}

// connected notes an address that was connected to.
func (r *resolver) connected(addr netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = addr.Unmap()
}
