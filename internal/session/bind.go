package session

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"funnel/internal/access"
	"funnel/internal/flow"
	"funnel/internal/limit"
	"funnel/internal/udpio"
	"funnel/proto"
)

// bind answers the wish for a forward.
func (s *Session) bind(m proto.Bind, grant Grant) proto.Message {
	answer := s.open(m, grant)
	if refused, ok := answer.(proto.Refused); ok {
		s.logRefused("binding refused", "network", "udp", "cause", refused.Text)
	}
	return answer
}

// logRefused logs what the agent can't have, but not endlessly.
func (s *Session) logRefused(message string, arguments ...any) {
	s.refused.Info(s.log, message, arguments...)
}

// open opens a forward's public sockets, or answers what it did before.
func (s *Session) open(m proto.Bind, grant Grant) proto.Message {
	s.binds.Lock()
	defer s.binds.Unlock()
	s.mu.Lock()
	b, count := s.bindings[m.Forward], len(s.bindings)
	s.mu.Unlock()
	if b != nil {
		if b.host == m.Host && (b.asked == m.Port || b.port == m.Port) {
			return proto.Bound{Forward: m.Forward, Host: m.Host, Port: b.port}
		}
		return proto.Refused{Forward: m.Forward, Code: proto.CodeMalformed, Text: "the forward is bound to another address already"}
	}
	if count >= maxBindings {
		return proto.Refused{Forward: m.Forward, Code: proto.CodeLimit, Text: "the session has too many bindings"}
	}
	lease := s.currentLease()
	release, err := s.takeForward(lease)
	if err != nil {
		return refusal(m, err)
	}
	var sockets []*udpio.Conn
	port, err := grant.Bind("udp", m.Host, m.Port, func(host string, port uint16) (uint16, error) {
		var err error
		if m.Port == 0 { // another one is as good
			sockets, err = openSockets(host, port)
		} else {
			sockets, err = s.openOrTake(host, port)
		}
		if err != nil {
			return 0, err
		}
		return sockets[0].LocalAddr().Port(), nil
	})
	if err != nil {
		release()
		return refusal(m, err)
	}
	b = &binding{
		session: s, forward: m.Forward, host: m.Host, asked: m.Port, port: port,
		sockets: sockets, flows: make(map[origin]*flow.Entry[*conversation]), release: release,
		newcomers: limit.NewBuckets(1, newcomersPerPort, newcomersPerPort*newcomerPortBurst),
	}
	if lease != nil {
		b.toTarget, b.toClient = lease.Meter()
	}
	if !s.add(b) {
		b.close()
		return proto.Refused{Forward: m.Forward, Code: proto.CodeClosing, Text: "the session is closing"}
	}
	b.warnBuffers()
	s.log.Info("binding opened", "network", "udp", "address", sockets[0].LocalAddr().String())
	return proto.Bound{Forward: m.Forward, Host: m.Host, Port: port}
}

// openOrTake opens sockets, if need be after taking the port from a session of the
// same agent.
func (s *Session) openOrTake(host string, port uint16) ([]*udpio.Conn, error) {
	sockets, err := openSockets(host, port)
	if err == nil || !addressInUse(err) {
		return sockets, err
	}
	before, refused := s.registry.before(s, port)
	switch {
	case refused != nil:
		return nil, refused
	case before == nil:
		return nil, err
	}
	before.yield(port)
	return openSockets(host, port)
}

// add makes b the session's and starts to read it; false if the session closed
// in the meantime.
func (s *Session) add(b *binding) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.bindings[b.forward] = b
	s.readers.Add(len(b.sockets))
	for _, conn := range b.sockets {
		go b.run(conn)
	}
	return true
}

// unbind closes a forward's sockets and ends its flows.
func (s *Session) unbind(forward uint32) proto.Message {
	s.mu.Lock()
	b := s.bindings[forward]
	if b == nil {
		s.mu.Unlock()
		return proto.Unbound{Forward: forward, Code: proto.CodeMalformed, Text: "the forward isn't bound"}
	}
	s.remove(b)
	s.mu.Unlock()
	b.close()
	s.log.Info("binding closed", "network", "udp", "address", b.sockets[0].LocalAddr().String())
	return proto.Unbound{Forward: forward}
}

// remove takes b and its flows out. The session is locked.
func (s *Session) remove(b *binding) {
	delete(s.bindings, b.forward)
	s.endFlows(b)
}

// endFlows ends b's flows, and lets no other begin. It may be called again. The
// session is locked.
func (s *Session) endFlows(b *binding) {
	for _, e := range b.flows {
		s.flows.Remove(e)
		s.giveFlow()
	}
	b.flows = nil
}

// lose ends a binding whose socket broke, and tells the agent.
func (s *Session) lose(b *binding, cause error) {
	if s.takeAway(b, proto.CodeFailed, cause.Error()) {
		s.log.Error("binding lost", "network", "udp", "cause", cause)
	}
}

// takeAway ends a binding and tells the agent why. It is false if the binding
// had ended already.
func (s *Session) takeAway(b *binding, code proto.Code, why string) bool {
	s.mu.Lock()
	if s.bindings[b.forward] != b {
		s.mu.Unlock()
		return false
	}
	s.remove(b)
	lanes := s.slots
	s.mu.Unlock()
	b.close()
	for _, a := range lanes {
		if a != nil && a.tell(proto.Unbound{Forward: b.forward, Code: code, Text: why}) {
			break
		}
	}
	return true
}

// refusal is the answer to a bind that err ended.
func refusal(m proto.Bind, err error) proto.Refused {
	refused := proto.Refused{Forward: m.Forward, Code: proto.CodeFailed, Text: err.Error()}
	var denied *access.Denied
	var wire *proto.Error
	var number syscall.Errno
	switch {
	case errors.As(err, &denied):
		refused.Code = proto.CodeDenied
	case errors.As(err, &wire):
		refused.Code, refused.Text = wire.Code, wire.Text
	case addressInUse(err) && m.Port == 0:
		refused.Code, refused.Text = proto.CodeInUse, "none of the UDP ports that may be bound is free at the relay"
	case addressInUse(err):
		refused.Code, refused.Text = proto.CodeInUse, ExplainListen(err, "udp", m.Host, m.Port)
	case errors.As(err, &number):
		refused.Text = ExplainListen(err, "udp", m.Host, m.Port)
	}
	return refused
}

// ExplainListen says why the system didn't let us listen on a "tcp" or "udp" port,
// to a person who doesn't see the relay and asked for port of host.
func ExplainListen(err error, network, host string, port uint16) string {
	network = strings.ToUpper(network)
	var number syscall.Errno
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("%s port %d of the relay is in use", network, port)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("the relay has no address %s", host)
	case errors.Is(err, syscall.EACCES):
		return fmt.Sprintf("the system does not let the relay bind %s port %d: ports below 1024 want root or CAP_NET_BIND_SERVICE", network, port)
	case errors.As(err, &number):
		return fmt.Sprintf("the relay can't bind %s port %d: %v", network, port, number)
	}
	return fmt.Sprintf("the relay can't bind %s port %d", network, port)
}
