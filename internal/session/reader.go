package session

import (
	"errors"
	"net"
	"time"

	"funnel/internal/flow"
	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/internal/udpio"
	"funnel/proto"
)

// run reads one of the binding's sockets until it is closed.
func (b *binding) run(conn *udpio.Conn) {
	defer b.session.readers.Done()
	r := reader{binding: b, conn: conn}
	for {
		err := conn.Receive(r.receive)
		b.session.set.Flush()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.session.lose(b, err)
			return
		}
	}
}

// reader brings the datagrams of one socket to the lanes. It belongs to the
// goroutine in run.
type reader struct {
	binding *binding
	conn    *udpio.Conn
	found   []*flow.Flow // of each message
	evicted []uint32
	met     []*conversation // whose clients are there
}

// receive finds each datagram's flow, all under one lock, and queues it. It writes
// nothing: a write may wait for the agent for as long as the agent likes, and the
// batch of messages is one of a few that the relay has for all agents.
func (r *reader) receive(messages []udpio.Message) {
	s := r.binding.session
	now := lane.Now()
	r.found, r.evicted, r.met = r.found[:0], r.evicted[:0], r.met[:0]
	s.mu.Lock()
	for i := range messages {
		from := origin{remote: messages[i].Remote, local: messages[i].Local}
		e := r.binding.flows[from]
		if e == nil {
			e = r.open(from, now)
		} else if s.spoke(e, now) {
			r.met = append(r.met, e.Value)
		}
		if e == nil {
			r.found = append(r.found, nil)
			continue
		}
		r.found = append(r.found, e.Value.Flow)
	}
	s.mu.Unlock()
	for i, f := range r.found {
		if f == nil {
			continue // counted by open
		}
		if !r.binding.toTarget.Pass(len(messages[i].Data)) {
			s.drops.Add(obs.DropBandwidth, 1)
			continue
		}
		s.set.Send(f, messages[i].Data, now)
	}
	s.sendGone(r.evicted, proto.GoneEvicted)
	for _, c := range r.met {
		s.log.Debug("flow established", "address", r.conn.LocalAddr().String(), "client", c.Client.String())
	}
}

// open begins a flow. The session is locked. nil means that it is closed, or
// that the client may not begin one.
func (r *reader) open(from origin, now time.Duration) *flow.Entry[*conversation] {
	b, s := r.binding, r.binding.session
	if s.closed || b.flows == nil {
		s.drops.Add(obs.DropUnknown, 1)
		return nil
	}
	if reason, ok := r.admit(from.remote.Addr()); !ok {
		s.drops.Add(reason, 1)
		return nil
	}
	// Numbers are used again after 2^32 flows, which a flood of forged sources
	// brings about in a day, but never while the flow with that number lives.
	for s.nextFlow++; s.flows.Get(s.nextFlow) != nil; {
		s.nextFlow++
	}
	c := &conversation{
		Flow:    flow.New(proto.FlowHeader{Flow: s.nextFlow, Forward: b.forward, Client: from.remote}, true),
		binding: b,
		from:    from,
		conn:    r.conn,
	}
	e, evicted := s.flows.AddPending(c.ID, c, now)
	r.forget(evicted)
	if e == nil {
		s.giveFlow()
		s.drops.Add(obs.DropFlowLimit, 1)
		return nil
	}
	b.flows[from] = e
	if !s.sweeping {
		s.sweeping = true
		s.sweep.Reset(s.sweepEvery())
	}
	return e
}

// forget takes a flow out of its binding that was evicted, unless it is nil, and
// has the agent be told. The session is locked.
func (r *reader) forget(evicted *flow.Entry[*conversation]) {
	if evicted != nil {
		evicted.Value.binding.forget(evicted)
		r.evicted = append(r.evicted, evicted.ID)
	}
}
