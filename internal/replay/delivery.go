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
	lane    atomic.Pointer[lane.Lane] // set once the lane is up, for answers
	decoder proto.Decoder
	sender  *udpio.Sender
	now     time.Duration
}

func newDelivery(g *Group) *delivery {
	return &delivery{group: g, sender: udpio.NewSender()}
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
	e := g.flows.Get(id)
	if e != nil {
		g.flows.Touch(e, d.now)
	}
	g.mu.Unlock()
	if e == nil {
		g.drops.Add(obs.DropUnknown, 1)
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
	if evicted := d.group.open(h, d.now); evicted != 0 {
		d.answer(proto.AppendGone(nil, evicted, proto.GoneEvicted))
	}
}

// Gone ends a flow.
func (d *delivery) Gone(id uint32, _ proto.GoneReason) { d.group.forget(id) }

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
