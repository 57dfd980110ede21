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
// it isn't there: known says that it was. Of two links that announce the same
// instance the one whose connection came last stays.
func (s *presences) join(l *link, announce sshwire.Announce) (p *presence, known bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p = s.announced[presenceName{l.grant.Fingerprint, announce.Instance}]
	if p != nil {
		switch err := p.attach(l); err {
		case nil:
			return p, true, nil
		case errReplaced:
			return nil, false, err
		}
	}
	p, err = s.addLocked(l, announce)
	return p, false, err
}

// add makes a presence for a link whose client didn't announce itself.
func (s *presences) add(l *link) (*presence, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addLocked(l, sshwire.Announce{})
}

// addLocked is add for who has locked the presences.
func (s *presences) addLocked(l *link, announce sshwire.Announce) (*presence, error) {
	p := newPresence(s.relay, l, announce)
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

// held is a binding of a presence.
type held struct {
	by *presence
	*binding
}

// yielding are the bindings of a port that others give up if p asks for it: the
// same agent, started earlier, and one of the same key while its agent is away. An
// error says that p is the earlier one of the same agent.
func (s *presences) yielding(p *presence, port uint16) ([]held, error) {
	var all []held
	for _, other := range s.list() {
		if other == p || other.name.fingerprint != p.name.fingerprint {
			continue
		}
		bindings := other.holds(port)
		if len(bindings) == 0 {
			continue
		}
		same := p.announced() && other.announce.Agent == p.announce.Agent
		switch {
		case same && other.announce.Generation > p.announce.Generation:
			return nil, errInherits
		case same && other.announce.Generation < p.announce.Generation, other.currentLink() == nil:
			for _, b := range bindings {
				all = append(all, held{other, b})
			}
		}
	}
	return all, nil
}

// inherit makes a binding that others give up p's, with the clients who wait at
// it, if it is at the same address. Otherwise it is nil, and rest are those that
// may be in the way. p.asking is held.
func (s *presences) inherit(p *presence, address string, port uint16) (heritage *binding, rest []held, err error) {
	if port == 0 {
		return nil, nil, nil
	}
	all, err := s.yielding(p, port)
	for _, h := range all {
		if h.address != address {
			continue
		}
		if heritage := h.by.bequeath(h.binding, p); heritage != nil {
			return heritage, nil, nil
		}
	}
	return nil, all, err
}

// vacate closes bindings that are in the way of another.
func vacate(rest []held) {
	for _, h := range rest {
		h.by.takeAway(h.binding)
		h.by.endIfBare()
	}
}

// holds are the bindings that have port.
func (p *presence) holds(port uint16) []*binding {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*binding
	for _, b := range p.bindings {
		if b.port == port {
			all = append(all, b)
		}
	}
	return all
}

// endIfBare ends a presence whose ports the same agent, started again, has.
func (p *presence) endIfBare() {
	p.endIf(errOutlived, func() bool { return len(p.bindings) == 0 })
}
