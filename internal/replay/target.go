package replay

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"funnel/internal/forward"
	"funnel/internal/obs"
	"funnel/internal/udpio"
)

// target is where a forward's datagrams go, by address or by name. Names are
// looked up beside the data path, which never waits for them.
type target struct {
	group *Group
	index int    // of the forward
	text  string // host:port
	fixed bool   // text is an address

	absent obs.Trouble // nobody takes what flows send there

	mu      sync.Mutex
	ctx     context.Context // guarded by mu: ends look-ups
	address netip.AddrPort  // guarded by mu: invalid until known
	taken   time.Time       // guarded by mu: when address was looked up
	tried   time.Time       // guarded by mu: when the last look-up began
	busy    bool            // guarded by mu: a look-up is under way
	failing bool            // guarded by mu: the last look-up failed
}

func newTarget(g *Group, index int, f forward.Forward) *target {
	t := &target{group: g, index: index, text: f.Target()}
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

// current is the address as last known.
func (t *target) current() netip.AddrPort {
	if t.fixed {
		return t.address
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.address
}

// refused notes that the system has said that nobody takes datagrams at the target.
func (t *target) refused() {
	if held, tell := t.absent.Failed(time.Now()); tell {
		t.group.config.Log.Warn("no server at the target", "target", t.text, "held_back", held)
	}
}

// answered notes that the target has sent something. It costs nothing while all is
// well.
func (t *target) answered() {
	if !t.absent.Lasts() {
		return
	}
	if lasted, tell := t.absent.Worked(time.Now()); tell {
		t.group.config.Log.Info("a server is at the target again", "target", t.text, "duration", lasted.Round(time.Millisecond))
	}
}

func (t *target) lookUp(ctx context.Context) {
	defer t.group.readers.Done()
	address, err := udpio.Resolve(ctx, t.text)
	if ctx.Err() == nil && t.note(address, err) {
		t.group.moved(t.index, address)
	}
}

// note takes in what a look-up found, and says whether the target has another
// address than before. One that finds none is told once.
func (t *target) note(address netip.AddrPort, err error) (moved bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy = false
	log := t.group.config.Log
	if err != nil {
		if !t.failing {
			t.failing = true
			log.Warn("target's name has no address", "target", t.text, "cause", err)
		}
		return false // the address known so far is as good as any
	}
	if t.failing {
		t.failing = false
		log.Info("target's name has an address again", "target", t.text)
	}
	moved = t.address.IsValid() && t.address != address
	t.address, t.taken = address, time.Now()
	return moved
}
