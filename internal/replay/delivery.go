package replay

import (
	"net/netip"
	"sync/atomic"
	"time"

	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/internal/udpio"
	"funnel/proto"
)

// delivery takes a lane's records apart and sends the datagrams to their
// targets. It belongs to the goroutine that reads the lane.
type delivery struct {
	group   *Group
	token   proto.Token               // the session that the lane belongs to
	lane    atomic.Pointer[lane.Lane] // set once the lane is up, for answers
	decoder proto.Decoder
	sender  *udpio.Sender
	now     time.Duration

	// The flow that couldn't be opened last, and why: its first datagram
	// follows and is lost for that reason.
	refused uint32
	reason  obs.Drop
}

func newDelivery(g *Group, token proto.Token) *delivery {
	return &delivery{group: g, token: token, sender: udpio.NewSender(), reason: obs.DropUnknown}
}

// receive is the lane's mux.Receive.
func (d *delivery) receive(p []byte) error {
	d.now = lane.Now()
	err := d.decoder.Decode(p, d)
	_, dropped := d.sender.Flush()
	d.group.drops.Add(obs.DropSocket, dropped)
	return err
}

// Datagram sends one datagram to its target.
func (d *delivery) Datagram(id, sequence uint32, payload []byte) {
	g := d.group
	g.mu.Lock()
	if g.token != d.token { // of a session that is over, whose numbers mean nothing
		g.mu.Unlock()
		g.drops.Add(obs.DropUnknown, 1)
		return
	}
	e := g.flows.Get(id)
	if e != nil {
		g.flows.Touch(e, d.now)
	}
	g.mu.Unlock()
	if e == nil {
		reason := obs.DropUnknown
		if id == d.refused {
			reason = d.reason
		}
		g.drops.Add(reason, 1)
		d.answer(proto.AppendGone(nil, id, proto.GoneUnknown))
		return
	}
	if !e.Value.First(sequence) {
		g.drops.Add(obs.DropDuplicate, 1)
		return
	}
	d.sender.Add(e.Value.conn, payload, netip.AddrPort{}, netip.Addr{})
}

// Flow begins a flow.
func (d *delivery) Flow(h proto.FlowHeader) {
	evicted, reason, ok := d.group.open(h, d.token, d.now)
	if !ok {
		d.refused, d.reason = h.Flow, reason
		return
	}
	if evicted != nil {
		d.answer(proto.AppendGone(nil, evicted.ID, proto.GoneEvicted))
	}
}

// Gone ends a flow.
func (d *delivery) Gone(id uint32, _ proto.GoneReason) { d.group.forget(id, d.token) }

// Mark is answered on the same lane.
func (d *delivery) Mark(value uint64) { d.answer(proto.AppendEcho(nil, value)) }

// Echo answers a mark, of which the agent sends none.
func (d *delivery) Echo(uint64) {}

// answer queues a record. It must not write itself: who reads a lane never
// waits for writing it.
func (d *delivery) answer(record []byte) {
	if l := d.lane.Load(); l != nil {
		l.Answer(record)
	}
}
