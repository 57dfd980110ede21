package agent

import (
	"sync"

	"funnel/internal/sshwire"
)

// paths is what the links of an agent tell each other about the way to the
// relay: what one of them misses, the others ask about, too. Safe for concurrent
// use.
type paths struct {
	mu     sync.Mutex
	vigils map[*sshwire.Vigil]struct{} // guarded by mu, as kick
	kick   chan struct{}               // closed, and made anew, when the network changes
}

func newPaths() *paths {
	return &paths{vigils: make(map[*sshwire.Vigil]struct{}), kick: make(chan struct{})}
}

// enter has a link take part until leave is called.
func (p *paths) enter(v *sshwire.Vigil) (leave func()) {
	p.mu.Lock()
	p.vigils[v] = struct{}{}
	p.mu.Unlock()
	gone := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			doubt, changed := v.Doubt()
			if doubt {
				p.ask(v)
			}
			select {
			case <-changed:
			case <-gone:
				return
			}
		}
	})
	return func() {
		p.mu.Lock()
		delete(p.vigils, v)
		p.mu.Unlock()
		close(gone)
		watching.Wait()
	}
}

// ask has all links but one ask for a sign of life.
func (p *paths) ask(not *sshwire.Vigil) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for v := range p.vigils {
		if v != not {
			v.Ask()
		}
	}
}

// changed is called when the network has changed: whoever waits to dial does so
// now, and all links ask for a sign of life.
func (p *paths) changed() {
	p.mu.Lock()
	close(p.kick)
	p.kick = make(chan struct{})
	p.mu.Unlock()
	p.ask(nil)
}

// kicked is closed when the network next changes.
func (p *paths) kicked() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kick
}
