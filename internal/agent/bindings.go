package agent

import (
	"fmt"
	"sync"
	"sync/atomic"

	"funnel/internal/forward"
	"funnel/internal/obs"
)

// binding is a forward that the relay has bound on this link.
type binding struct {
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
	byKey map[listenKey]*binding
}

func newBindings() *bindings { return &bindings{byKey: make(map[listenKey]*binding)} }

// add calls ask, which asks the relay for f and returns the port bound, and
// notes the binding.
func (b *bindings) add(f forward.Forward, ask func() (uint16, error)) (uint16, error) {
	b.asking.Lock()
	defer b.asking.Unlock()
	port, err := ask()
	if err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.byKey[listenKey{f.BindHost, uint32(port)}] = &binding{forward: f, dials: make(chan struct{}, maxDials)}
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

func (b *bindings) lookup(key listenKey) *binding {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byKey[key]
}
