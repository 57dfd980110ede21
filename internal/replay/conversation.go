package replay

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"funnel/internal/flow"
	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/internal/udpio"
	"funnel/proto"
)

// conversation is a flow and the socket that stands for its client.
type conversation struct {
	*flow.Flow
	group *Group
	conn  *udpio.Conn
	entry *flow.Entry[*conversation] // fixed before run starts

	target netip.AddrPort
	spoke  time.Duration // when the target last did, within the table's grain; guarded by group.mu

	touched  time.Duration // when touch was last called; owned by run, as below
	reported uint64        // errors of the socket that were seen
}

// run sends the target's replies to the lanes until the socket is closed.
func (c *conversation) run() {
	defer c.group.readers.Done()
	for {
		err := c.conn.Receive(c.receive)
		c.group.set.Flush() // which may wait, and so doesn't hold the batch of messages
		if n := c.conn.Stats().Reported; n != c.reported {
			c.reported = n
			c.group.targets[c.Forward].refused()
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, net.ErrClosed) {
			c.group.config.Log.Warn("flow ended", "client", c.Client, "cause", err)
			c.end()
		}
		return
	}
}

func (c *conversation) receive(messages []udpio.Message) {
	g := c.group
	now := lane.Now()
	if now-c.touched >= g.flows.Grain() && !c.touch(now) {
		return // the relay wouldn't know it
	}
	g.targets[c.Forward].answered()
	for i := range messages {
		g.set.Send(c.Flow, messages[i].Data, now)
	}
}

// touch notes that the target has just spoken. It reports false if the flow has
// ended. Each datagram need not do it: hundreds of flows that speak at once would
// wait for one lock.
func (c *conversation) touch(now time.Duration) bool {
	g := c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	c.touched, c.spoke = now, now
	return g.flows.Touch(c.entry, now)
}

// open begins a flow that the relay announced. It is told on each lane, so most
// are known. If it had to end another for it, that one is returned; if it can't
// begin, why its datagrams are lost.
func (g *Group) open(h proto.FlowHeader, token proto.Token, now time.Duration) (evicted *conversation, reason obs.Drop, ok bool) {
	if int64(h.Forward) >= int64(len(g.targets)) {
		return nil, obs.DropUnknown, false
	}
	g.mu.Lock()
	known := g.token == token && g.flows.Get(h.Flow) != nil
	g.mu.Unlock()
	if known {
		return nil, 0, true
	}
	address, ok := g.targets[h.Forward].get()
	if !ok {
		return nil, obs.DropUnresolved, false
	}
	conn, err := udpio.Dial(address, udpio.Options{})
	if err != nil { // most often for want of descriptors or ports, which concerns all
		if held, tell := g.sockets.Failed(time.Now()); tell {
			g.config.Log.Warn("flow has no socket", "client", h.Client, "target", address, "cause", err, "held_back", held)
		}
		return nil, obs.DropNoSocket, false
	}
	if lasted, tell := g.sockets.Worked(time.Now()); tell {
		g.config.Log.Info("flows have sockets again", "duration", lasted.Round(time.Millisecond))
	}
	c := &conversation{Flow: flow.New(h, false), group: g, conn: conn, target: address}
	old, ok := g.insert(c, token, now)
	if !ok {
		conn.Close() // another lane was faster, or the session has ended
		return nil, obs.DropUnknown, true
	}
	if g.targets[h.Forward].current() != address { // it has moved since we asked
		g.forget(c.ID, token)
	}
	if old == nil {
		return nil, 0, true
	}
	old.Value.conn.Close()
	return old.Value, 0, true
}

// insert puts c into the table and starts it.
func (g *Group) insert(c *conversation, token proto.Token, now time.Duration) (evicted *flow.Entry[*conversation], ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed || g.token != token || g.flows.Get(c.ID) != nil {
		return nil, false
	}
	c.spoke, c.touched = -silent, now-g.flows.Grain() // not at all
	c.entry, evicted = g.flows.Add(c.ID, c, now)
	g.readers.Add(1)
	go c.run()
	if !g.sweeping {
		g.sweeping = true
		g.sweep.Reset(g.sweepEvery())
	}
	return evicted, true
}

// forget ends a flow of the session with this token, if it is known.
func (g *Group) forget(id uint32, token proto.Token) {
	g.mu.Lock()
	var e *flow.Entry[*conversation]
	if g.token == token {
		e = g.flows.Get(id)
	}
	if e != nil {
		g.flows.Remove(e)
	}
	g.mu.Unlock()
	if e != nil {
		e.Value.conn.Close()
	}
}

// end ends c, whose socket broke.
func (c *conversation) end() {
	c.group.mu.Lock()
	c.group.flows.Remove(c.entry)
	c.group.mu.Unlock()
	c.conn.Close()
}

func everyFlow(*conversation) bool { return true }

// endFlows ends the flows that which picks.
func (g *Group) endFlows(which func(*conversation) bool) {
	var ended []*conversation
	g.mu.Lock()
	g.flows.All(func(e *flow.Entry[*conversation]) {
		if which(e.Value) {
			g.flows.Remove(e)
			ended = append(ended, e.Value)
		}
	})
	g.mu.Unlock()
	for _, c := range ended {
		c.conn.Close()
	}
}

// moved ends the flows of a forward whose target has another address now, as far
// as the old one doesn't answer: the next datagrams of their clients begin new
// ones. Those that it answers go on.
func (g *Group) moved(forward int, now netip.AddrPort) {
	at := lane.Now()
	var ended []*conversation
	g.mu.Lock()
	g.flows.All(func(e *flow.Entry[*conversation]) {
		c := e.Value
		if int64(c.Forward) == int64(forward) && c.target != now && at-c.spoke >= silent {
			g.flows.Remove(e)
			ended = append(ended, c)
		}
	})
	g.mu.Unlock()
	g.endGone(ended)
}

// endGone closes flows that were taken out for being idle, and tells the relay.
func (g *Group) endGone(ended []*conversation) {
	for _, c := range ended {
		c.conn.Close()
		g.set.SendRecord(proto.AppendGone(nil, c.ID, proto.GoneIdle))
	}
}

// sweepFlows ends idle flows, and comes again while flows are left.
func (g *Group) sweepFlows() {
	now := lane.Now()
	var idle []*conversation
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return
	}
	for e := g.flows.Expired(now); e != nil; e = g.flows.Expired(now) {
		idle = append(idle, e.Value)
	}
	g.sweeping = g.flows.Len() > 0
	if g.sweeping {
		g.sweep.Reset(g.sweepEvery())
	}
	g.mu.Unlock()
	g.endGone(idle)
	g.reportDrops(now)
}

func (g *Group) sweepEvery() time.Duration { return min(g.config.Idle/sweepParts, sweepMost) }

// reportDrops says now and then what was lost since the last time.
func (g *Group) reportDrops(now time.Duration) {
	counts := g.drops.Snapshot()
	g.mu.Lock()
	since := counts.Since(g.reported)
	due := since.Lost() > 0 && now-g.reportAt >= dropReport
	if due {
		g.reported, g.reportAt = counts, now
	}
	g.mu.Unlock()
	if due {
		g.config.Log.Warn("datagrams dropped", "reasons", since)
	}
}
