package relay

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"funnel/internal/sshwire"
)

// presences are those of a relay. Safe for concurrent use.
type presences struct {
	relay *Relay

	mu        sync.Mutex
	all       map[*presence]struct{} // guarded by mu, as all below
	announced map[presenceName]*presence
	ending    sync.WaitGroup // one for each presence; begun while not closed
	closed    bool
}

func newPresences(r *Relay) *presences {
	return &presences{
		relay: r, all: make(map[*presence]struct{}), announced: make(map[presenceName]*presence),
	}
}

// join has a link serve the presence that its agent announces, which is made if
// it isn't there: known says that it was.
func (s *presences) join(l *link, announce sshwire.Announce) (p *presence, known bool, err error) {
	name := presenceName{l.grant.Fingerprint, announce.Instance}
	s.mu.Lock()
	p = s.announced[name]
	s.mu.Unlock()
	if p != nil && p.attach(l) {
		return p, true, nil
	}
	p, err = s.add(l, announce)
	return p, false, err
}

// add makes a presence for a link.
func (s *presences) add(l *link, announce sshwire.Announce) (*presence, error) {
	p := newPresence(s.relay, l, announce)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errStopping
	}
	s.all[p] = struct{}{}
	if p.announced() {
		s.announced[p.name] = p
	}
	s.ending.Add(1)
	return p, nil
}

// forget takes out a presence that has ended, and waits for what is left of it
// in the background.
func (s *presences) forget(p *presence) {
	s.mu.Lock()
	delete(s.all, p)
	if s.announced[p.name] == p {
		delete(s.announced, p.name)
	}
	s.mu.Unlock()
	go func() {
		defer s.ending.Done()
		p.tasks.Wait()
	}()
}

func (s *presences) list() []*presence {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.all))
}

// renew asks anew what everybody may do.
func (s *presences) renew(version uint64, now time.Time, networks bool) {
	for _, p := range s.list() {
		p.renew(version, now, networks)
	}
}

// close ends all, for good. What is left of them ends with their links; ending
// waits for it.
func (s *presences) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, p := range s.list() {
		p.end(errStopping)
	}
}

// errInherits says that a port is with an agent that was started later.
var errInherits = errors.New("the same agent, started again later, has it")

// yield has other presences give up a port that p asks for: that of the same agent,
// started earlier, and one of the same key while its agent is away. The same
// binding, with the clients who wait at it, is p's from now on; one at another
// address is closed. An error says that p is the earlier one of the same agent. It
// returns nil if there is no such binding to be had; p.asking is held.
func (s *presences) yield(p *presence, address string, port uint16) (*binding, error) {
	if port == 0 {
		return nil, nil
	}
	var heritage *binding
	for _, other := range s.list() {
		if other == p || other.name.fingerprint != p.name.fingerprint {
			continue
		}
		b := other.holds(port)
		if b == nil {
			continue
		}
		same := p.announced() && other.announce.Agent == p.announce.Agent
		switch {
		case same && other.announce.Generation > p.announce.Generation:
			return nil, errInherits
		case same && other.announce.Generation < p.announce.Generation, other.currentLink() == nil:
			if heritage == nil && b.address == address {
				heritage = other.bequeath(b, p)
				continue
			}
			other.drop(b)
			other.endIfBare()
		}
	}
	return heritage, nil
}

// holds is the binding that has port, or nil.
func (p *presence) holds(port uint16) *binding {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.bindings {
		if b.port == port {
			return b
		}
	}
	return nil
}

// endIfBare ends a presence whose ports the same agent, started again, has.
func (p *presence) endIfBare() {
	p.mu.Lock()
	bare := len(p.bindings) == 0
	p.mu.Unlock()
	if bare {
		p.end(errOutlived)
	}
}
