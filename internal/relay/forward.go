package relay

import (
	"errors"
	"fmt"

	"funnel/internal/access"
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
	b, count := p.find(message), len(p.bindings)
	again := b != nil && b.confirmed != l // of an earlier link; else it is asked for twice
	p.mu.Unlock()
	if again {
		return b, nil
	}
	if count >= maxBindings {
		return nil, fmt.Errorf("the link has %d forwarded ports, and may have no more", maxBindings)
	}
	port := uint16(message.Port) // #nosec G115 -- parsed as a port
	b, err := p.relay.presences.yield(p, message.Address, port)
	if err != nil {
		return nil, err
	}
	if b != nil {
		b.asked = port
		if err := p.currentLease().MayBind("tcp", b.address, b.port); err != nil {
			p.close(b)
			return nil, err
		}
	} else if b, err = p.open(message.Address, port); err != nil {
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
	p.log.Info("binding opened", "network", "tcp", "address", b.describe())
	return b, nil
}

// confirm lets the binding's clients be carried over the link, and begins to take
// them if it is a new one.
func (p *presence) confirm(l *link, b *binding) {
	p.mu.Lock()
	begin := !b.serving
	b.serving, b.confirmed = true, l
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
			return 0, &bindError{explainListen(err, host, port), err}
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

// unbind closes the binding that a cancel means; false if there is none.
func (p *presence) unbind(message sshwire.ForwardRequest) bool {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.mu.Lock()
	b := p.find(message)
	p.mu.Unlock()
	return b != nil && p.drop(b)
}

// find is the binding that a request means, or nil: the one with the port that
// was bound or, as some clients repeat what they asked for, the last one for which
// port 0 was asked. It is locked.
func (p *presence) find(message sshwire.ForwardRequest) *binding {
	var found *binding
	for _, b := range p.bindings {
		if b.address != message.Address {
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
