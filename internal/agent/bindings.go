package agent

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"funnel/internal/forward"
	"funnel/internal/obs"
)

// binding is a forward that the relay has bound on this link.
type binding struct {
	index   int // of the forward
	forward forward.Forward
	dials   chan struct{} // one is taken by each connect under way; see maxDials
	failing atomic.Bool   // the last connect to the target failed
	told    obs.Throttle  // that, and the opposite
}

// listenKey is how the relay names a binding when it opens a channel for it:
// the address as we sent it and the port that was bound (RFC 4254 §7.2).
type listenKey struct {
	host string
	port uint32
}

// bindings is what the relay has bound on one link. Safe for concurrent use.
type bindings struct {
	asking sync.Mutex // held from a question to the relay until its answer is in byKey

	mu    sync.Mutex
	byKey map[listenKey]*binding // guarded by mu
	lost  []int                  // guarded by mu: indexes of forwards that the relay took away since
	early []listenKey            // guarded by mu: what it took away that isn't in byKey, during a question
	some  chan struct{}          // 1 slot: some were lost
}

func newBindings() *bindings {
	return &bindings{byKey: make(map[listenKey]*binding), some: make(chan struct{}, 1)}
}

// add calls ask, which asks the relay for f, the forward at index, and returns the
// port bound, and notes the binding.
func (b *bindings) add(index int, f forward.Forward, ask func() (uint16, error)) (uint16, error) {
	b.asking.Lock()
	defer b.asking.Unlock()
	b.mu.Lock()
	b.early = nil
	b.mu.Unlock()
	port, err := ask()
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	key := listenKey{f.BindHost, uint32(port)}
	if slices.Contains(b.early, key) {
		b.lose(index)
		return port, nil
	}
	b.byKey[key] = &binding{index: index, forward: f, dials: make(chan struct{}, maxDials)}
	return port, nil
}

// find is the binding that the relay names, or an error. The relay may open a
// channel right behind its answer to our question, before add has noted it:
// an unknown name waits for the question under way.
func (b *bindings) find(host string, port uint32) (*binding, error) {
	key := listenKey{host, port}
	if found := b.lookup(key); found != nil {
		return found, nil
	}
	b.asking.Lock()
	found := b.lookup(key)
	b.asking.Unlock()
	if found == nil {
		return nil, fmt.Errorf("nothing was forwarded from %q port %d", host, port)
	}
	return found, nil
}

// remove takes out a binding that the relay has taken away. Like find it may come
// before add has noted it, but mustn't wait: the answer wouldn't come either.
func (b *bindings) remove(host string, port uint32) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := listenKey{host, port}
	switch found := b.byKey[key]; {
	case found != nil:
		delete(b.byKey, key)
		b.lose(found.index)
	case len(b.early) < maxEarly:
		b.early = append(b.early, key)
	}
}

// lose notes a forward that was taken away. It is called with mu held.
func (b *bindings) lose(index int) {
	b.lost = append(b.lost, index)
	select {
	case b.some <- struct{}{}:
	default:
	}
}

// takeLost is the indexes of the forwards that were taken away since the last call.
func (b *bindings) takeLost() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	lost := b.lost
	b.lost = nil
	return lost
}

func (b *bindings) lookup(key listenKey) *binding {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byKey[key]
}
