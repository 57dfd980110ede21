package replay

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"funnel/internal/forward"
	"funnel/internal/udpio"
)

// target is where a forward's datagrams go, by address or by name. Names are
// looked up beside the data path, which never waits for them.
type target struct {
	group *Group
	text  string // host:port
	fixed bool   // text is an address

	mu      sync.Mutex
	ctx     context.Context // guarded by mu: ends look-ups
	address netip.AddrPort  // guarded by mu: invalid until known
	taken   time.Time       // guarded by mu: when address was looked up
	tried   time.Time       // guarded by mu: when the last look-up began
	busy    bool            // guarded by mu: a look-up is under way
}

func newTarget(g *Group, f forward.Forward) *target {
	t := &target{group: g, text: f.Target()}
	if address, err := netip.ParseAddrPort(t.text); err == nil {
		t.address, t.fixed = address, true
	}
	return t
}

// prepare looks the name up before the first flow needs it. Look-ups end with
// ctx.
func (t *target) prepare(ctx context.Context) {
	t.mu.Lock()
	t.ctx = ctx
	t.mu.Unlock()
	t.get()
}

// get is the address as last known, and starts a look-up if it is old.
func (t *target) get() (netip.AddrPort, bool) {
	if t.fixed {
		return t.address, true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.busy && t.ctx != nil && t.ctx.Err() == nil && time.Since(t.taken) > nameAge && time.Since(t.tried) > nameRetry {
		t.busy, t.tried = true, time.Now()
		t.group.readers.Add(1)
		go t.lookUp(t.ctx)
	}
	return t.address, t.address.IsValid()
}

func (t *target) lookUp(ctx context.Context) {
	defer t.group.readers.Done()
	address, err := udpio.Resolve(ctx, t.text)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	if err != nil {
		if ctx.Err() == nil {
			t.group.config.Log.Warn("target's name has no address", "target", t.text, "cause", err)
		}
		return // the address known so far is as good as any
	}
	t.address, t.taken = address, time.Now()
}
