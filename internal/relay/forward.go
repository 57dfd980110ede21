package relay

import (
	"errors"
	"fmt"
	"slices"
	"syscall"

	"funnel/internal/access"
	"funnel/internal/session"
	"funnel/internal/sshwire"
)

// bind finds or opens the binding of a forward that a link asks for: an agent
// that comes back asks for what it has, and one that was started anew for what
// an earlier one left. The error is a sentence for whoever asked; it is an
// *access.Denied or errInherits if that won't change. The caller answers, and
// calls confirm.
func (p *presence) bind(l *link, message sshwire.ForwardRequest) (*binding, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.mu.Lock()
	// What this link has confirmed is asked for twice.
	b, count := p.find(message, func(b *binding) bool { return b.confirmed != l }), len(p.bindings)
	p.mu.Unlock()
	switch {
	case !p.served(l):
		return nil, errReplaced
	case b != nil:
		return b, nil
	case count >= maxBindings:
		return nil, fmt.Errorf("the link has %d forwarded ports, and may have no more", maxBindings)
	}
	b, err := p.obtain(message.Address, uint16(message.Port)) // #nosec G115 -- parsed as a port
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	over := p.over
	if !over {
		p.bindings = append(p.bindings, b)
	}
	p.mu.Unlock()
	if over {
		p.close(b)
		return nil, errNothing
	}
	l.log.Info("binding opened", "network", "tcp", "address", b.describe())
	return b, nil
}

// obtain is a new binding of p's: another's that gives it up, or one that it opens.
func (p *presence) obtain(address string, port uint16) (*binding, error) {
	if port != 0 { // nobody gives up what p may not have
		if err := p.currentLease().MayBind("tcp", address, port); err != nil {
			return nil, err
		}
	}
	b, rest, err := p.relay.presences.inherit(p, address, port)
	if b != nil || err != nil {
		return b, err
	}
	b, err = p.open(address, port)
	if errors.Is(err, syscall.EADDRINUSE) && len(rest) > 0 {
		vacate(rest)
		b, err = p.open(address, port)
	}
	return b, err
}

// confirm lets the binding's clients be carried over the link, and begins to take
// them if it is a new one. It does nothing if the link was replaced meanwhile, or
// the binding closed or handed over.
func (p *presence) confirm(l *link, b *binding) {
	p.mu.Lock()
	if p.link != l || !slices.Contains(p.bindings, b) {
		p.mu.Unlock()
		return
	}
	begin := !b.serving
	b.serving, b.confirmed = true, l
	if begin {
		b.accepting.Add(len(b.listeners)) // before anybody can wait for them
	}
	p.tellChanged()
	p.mu.Unlock()
	if begin {
		p.serve(b)
	}
}

// open opens the listeners of a forward.
func (p *presence) open(address string, port uint16) (*binding, error) {
	lease := p.currentLease()
	release, err := p.takeForward()
	if err != nil {
		return nil, err
	}
	b := &binding{address: address, asked: port, opening: make(slots, maxOpening), release: release}
	b.toTarget, b.toClient = lease.Meter()
	b.port, err = lease.Bind("tcp", address, port, func(host string, port uint16) (uint16, error) {
		listeners, bound, err := listen(host, port)
		if err != nil {
			return 0, &bindError{session.ExplainListen(err, "tcp", host, port), err}
		}
		b.listeners = listeners
		return bound, nil
	})
	if err != nil {
		release()
		return nil, err
	}
	return b, nil
}

// unbind closes the binding that a cancel of link l means; false if there is none.
func (p *presence) unbind(l *link, message sshwire.ForwardRequest) bool {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.mu.Lock()
	b := p.find(message, func(*binding) bool { return true })
	p.mu.Unlock()
	return b != nil && p.served(l) && p.drop(b)
}

// find is the binding that a request means, of those that will do, or nil: the one
// with the port that was bound or, as some clients repeat what they asked for, the
// last one for which port 0 was asked. It is called with p locked, and so is will.
func (p *presence) find(message sshwire.ForwardRequest, will func(*binding) bool) *binding {
	var found *binding
	for _, b := range p.bindings {
		if b.address != message.Address || !will(b) {
			continue
		}
		if message.Port == uint32(b.port) {
			return b
		}
		if message.Port == 0 && b.asked == 0 {
			found = b
		}
	}
	return found
}

// takeForward takes a place for one more forward, of the key and of the relay.
func (p *presence) takeForward() (release func(), err error) {
	return p.relay.takeForward(p.currentLease())
}

func (l *link) takeForward() (release func(), err error) { return l.relay.takeForward(l.lease) }

// takeForward takes a place for one more forward, of the key and of the relay.
func (r *Relay) takeForward(lease *access.Lease) (release func(), err error) {
	if !r.counters.forwards.Take() {
		return nil, errors.New("the relay has too many forwarded ports")
	}
	give, err := lease.TakeForward()
	if err != nil {
		r.counters.forwards.Give()
		return nil, err
	}
	return func() {
		give()
		r.counters.forwards.Give()
	}, nil
}

// bindError is why the system didn't let us bind, in words for who asked.
type bindError struct {
	text  string
	cause error
}

func (e *bindError) Error() string { return e.text }
func (e *bindError) Unwrap() error { return e.cause }
