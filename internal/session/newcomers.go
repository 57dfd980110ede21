package session

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"funnel/internal/access"
	"funnel/internal/flow"
	"funnel/internal/limit"
	"funnel/internal/obs"
	"funnel/proto"
)

// admit says whether a client may begin a flow, which then counts until
// giveFlow, or why not. Where there is no place for it a flow that is pending gives
// way. The session is locked.
func (r *reader) admit(client netip.Addr) (reason obs.Drop, ok bool) {
	b, s := r.binding, r.binding.session
	if !s.config.Networks.Allows(client, "udp", b.port) {
		return obs.DropForbidden, false
	}
	now := time.Now()
	newcomers := s.registry.newcomers
	if !newcomers.Take(limit.Source(client, newcomerBits4, newcomerBits6), now) || !b.newcomers.Take(netip.Prefix{}, now) {
		return obs.DropNewcomer, false
	}
	if s.lease != nil && !s.lease.NewFlow() {
		return obs.DropFlowLimit, false
	}
	if s.takeFlow() {
		return 0, true
	}
	r.forget(s.flows.EvictPending())
	if s.takeFlow() {
		return 0, true
	}
	return obs.DropFlowLimit, false
}

// takeFlow counts one flow more, if the relay and the key have a place for it. The
// last places of the relay are for those who have few pending flows: so sources
// that are forged for one agent's ports leave some to the others. The session is
// locked.
func (s *Session) takeFlow() bool {
	all := s.config.AllFlows
	if s.flows.Pending() >= fewPending && all.Crowded() || !all.Take() {
		return false
	}
	if s.lease != nil && !s.lease.TakeFlow() {
		all.Give()
		return false
	}
	return true
}

// giveFlow counts one flow less: each that was admitted is given back once, when
// it leaves the table.
func (s *Session) giveFlow() {
	s.config.AllFlows.Give()
	if s.lease != nil {
		s.lease.GiveFlow()
	}
}

// spoke notes that a flow's client sent a datagram. If the target had answered
// before, the client got the answer, most likely: whoever forges its address
// doesn't, and isn't there to speak again. The first time that is so spoke reports
// it. The session is locked.
func (s *Session) spoke(e *flow.Entry[*conversation], now time.Duration) (established bool) {
	if e.Pending() && e.Value.answered {
		s.flows.Establish(e, now)
		return true
	}
	s.flows.Touch(e, now)
	return false
}

// Review makes what the operator changed count for the sessions: those whose
// key is gone end, and so do ports that are no longer permitted. A certificate
// that has expired ends no session, but the connections that carry its lanes, by
// who has them: the agent may come back with the next one. networks says that
// other clients may be welcome now.
func (r *Registry) Review(version uint64, now time.Time, networks bool) {
	for _, s := range r.all() {
		s.review(version, now, networks)
	}
}

func (s *Session) review(version uint64, now time.Time, networks bool) {
	s.mu.Lock()
	lease, seen, closed := s.lease, s.grant, s.closed
	s.mu.Unlock()
	if lease == nil || closed {
		return
	}
	if err := lease.Renew(version, now); err != nil && !errors.Is(err, access.ErrExpired) {
		s.log.Warn("access revoked", "fingerprint", s.fingerprint, "cause", err)
		s.end(proto.CodeDenied, "access was revoked")
		return
	}
	if networks {
		s.endUnwelcome()
	}
	if grant := lease.Grant(); grant != seen {
		s.mu.Lock()
		s.grant = grant
		s.mu.Unlock()
		s.closeForbidden(lease)
	}
}

// closeForbidden closes the bindings that are no longer permitted.
func (s *Session) closeForbidden(lease *access.Lease) {
	s.mu.Lock()
	bindings := slices.Collect(maps.Values(s.bindings))
	s.mu.Unlock()
	for _, b := range bindings {
		if err := lease.MayBind("udp", b.host, b.port); err != nil {
			if s.takeAway(b, proto.CodeDenied, err.Error()) {
				s.log.Warn("binding revoked", "network", "udp", "address", b.sockets[0].LocalAddr().String(), "cause", err)
			}
			continue
		}
		lease.Adjust(b.toTarget, b.toClient)
	}
}

// endUnwelcome ends the flows of clients that may no longer come.
func (s *Session) endUnwelcome() {
	var gone []uint32
	s.mu.Lock()
	s.flows.All(func(e *flow.Entry[*conversation]) {
		if b := e.Value.binding; !s.config.Networks.Allows(e.Value.from.remote.Addr(), "udp", b.port) {
			s.flows.Remove(e)
			b.forget(e)
			gone = append(gone, e.ID)
		}
	})
	s.mu.Unlock()
	s.sendGone(gone, proto.GoneEvicted)
}

// takeForward takes a place for one more forward, of the relay and the key.
func (s *Session) takeForward(lease *access.Lease) (release func(), err error) {
	all := s.config.AllForwards
	if !all.Take() {
		return nil, &proto.Error{Code: proto.CodeLimit, Text: "the relay has too many forwarded ports"}
	}
	if lease == nil {
		return all.Give, nil
	}
	give, err := lease.TakeForward()
	if err != nil {
		all.Give()
		return nil, &proto.Error{Code: proto.CodeLimit, Text: err.Error()}
	}
	return func() {
		give()
		all.Give()
	}, nil
}

// currentLease is the lease of the session, nil if there is none.
func (s *Session) currentLease() *access.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lease
}
