package session

import (
	"sync/atomic"
	"time"

	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/internal/udpio"
	"funnel/proto"
)

// delivery takes a lane's records apart and sends the datagrams to their
// clients. It belongs to the goroutine that reads the lane.
type delivery struct {
	session *Session
	lane    atomic.Pointer[lane.Lane] // set once the lane is up, for answers
	decoder proto.Decoder
	sender  *udpio.Sender
	now     time.Duration
}

func newDelivery(s *Session) *delivery {
	return &delivery{session: s, sender: udpio.NewSender()}
}

// receive is the lane's mux.Receive.
func (d *delivery) receive(p []byte) error {
	d.now = lane.Now()
	err := d.decoder.Decode(p, d)
	_, dropped := d.sender.Flush()
	d.session.drops.Add(obs.DropSocket, dropped)
	return err
}

// Datagram sends one datagram to its client, from the address the client
// spoke to.
func (d *delivery) Datagram(id, sequence uint32, payload []byte) {
	s := d.session
	s.mu.Lock()
	e := s.flows.Get(id)
	if e != nil {
		s.flows.Touch(e, d.now)
		e.Value.answered = true
	}
	s.mu.Unlock()
	if e == nil {
		s.drops.Add(obs.DropUnknown, 1)
		d.answer(proto.AppendGone(nil, id, proto.GoneUnknown))
		return
	}
	c := e.Value
	if !c.First(sequence) {
		s.drops.Add(obs.DropDuplicate, 1)
		return
	}
	if !c.binding.toClient.Pass(len(payload)) {
		s.drops.Add(obs.DropBandwidth, 1)
		return
	}
	d.sender.Add(c.conn, payload, c.from.remote, c.from.local)
}

// Flow is the relay's to send; an agent's is ignored.
func (d *delivery) Flow(proto.FlowHeader) {}

// Gone forgets a flow that the agent has forgotten: the client's next datagram
// begins a new one.
func (d *delivery) Gone(id uint32, _ proto.GoneReason) {
	s := d.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.flows.Get(id); e != nil {
		s.flows.Remove(e)
		e.Value.binding.forget(e)
	}
}

// Mark is answered on the same lane.
func (d *delivery) Mark(value uint64) { d.answer(proto.AppendEcho(nil, value)) }

// Echo answers a mark, of which the relay sends none.
func (d *delivery) Echo(uint64) {}

// answer queues a record. It must not write itself: who reads a lane never
// waits for writing it.
func (d *delivery) answer(record []byte) {
	if l := d.lane.Load(); l != nil {
		l.Answer(record)
	}
}
