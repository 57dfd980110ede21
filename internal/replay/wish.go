package replay

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"funnel/proto"
)

// wish is what has become of a forward in the present session.
type wish struct {
	state state
	given uint16      // the port bound last, in this session or one before
	asked *attachment // the lane that carries an unanswered bind
	no    error       // why it is denied
}

type state byte

const (
	asking  state = iota // a bind is due or on its way
	bound                // the public socket is open
	waiting              // refused for now, to be asked again
	denied               // refused for good
)

// session is the token of the present session, zero if there is none.
func (g *Group) session() proto.Token {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.token
}

// begin notes a new session, in which nothing is bound yet.
func (g *Group) begin(token proto.Token) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.token = token
	for i := range g.wishes {
		g.wishes[i].state, g.wishes[i].asked = asking, nil
	}
}

// lost ends the session with this token, if it is the present one: the relay
// doesn't know it any more. Its flows are gone with it, and lanes of it that
// are still up carry nothing for the next one, in which all numbers begin anew.
func (g *Group) lost(token proto.Token) {
	g.mu.Lock()
	present, leaving := g.token == token && token != (proto.Token{}), g.leaving
	if present {
		g.token = proto.Token{}
		for _, a := range g.slots {
			if a != nil {
				g.set.Remove(a.lane)
				a.cancel()
			}
		}
	}
	g.mu.Unlock()
	if present && !leaving {
		g.config.Log.Info("relay has forgotten the udp session")
	}
	if present {
		g.endFlows(everyFlow)
	}
}

// attach makes a lane take part, and has it ask for what isn't bound. The first
// lane after a time without any asks for everything again: what the relay said
// meanwhile was lost. What was refused for good must not be asked for again, and
// is told as it stands. It reports false if the lane's session is over.
func (g *Group) attach(a *attachment) bool {
	g.mu.Lock()
	if g.token != a.token {
		g.mu.Unlock()
		return false
	}
	stands := make(map[int]error)
	if len(g.set.Lanes()) == 0 {
		for i := range g.wishes {
			switch w := &g.wishes[i]; w.state {
			case bound:
				w.state = asking
			case denied:
				stands[i] = w.no
			}
		}
	}
	g.slots[a.slot] = a
	if a.dialed.Up != nil {
		a.dialed.Up()
	}
	g.set.Add(a.lane)
	g.ask(a)
	g.mu.Unlock()
	for i, no := range stands {
		g.config.Refused(i, no)
	}
	return true
}

// ask has a lane ask for what isn't bound and no other lane has asked for. The
// group is locked.
func (g *Group) ask(a *attachment) {
	for i := range g.wishes {
		if w := &g.wishes[i]; w.state == asking && w.asked == nil && a.tell(g.bindMessage(i)) {
			w.asked = a
		}
	}
}

// detach takes out a lane, which ended by cause.
func (g *Group) detach(a *attachment, cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.slots[a.slot] != a {
		return // it never took part
	}
	left := g.set.Remove(a.lane)
	g.slots[a.slot] = nil
	if a.dialed.Down != nil {
		a.dialed.Down(cause)
	}
	for i := range g.wishes {
		if g.wishes[i].asked == a {
			g.wishes[i].asked = nil
		}
	}
	g.askAny()
	if left == 0 {
		g.config.Down(cause)
	}
}

// askAny asks over any live lane. The group is locked.
func (g *Group) askAny() {
	for _, a := range g.slots {
		if a != nil && a.token == g.token {
			g.ask(a)
			return
		}
	}
}

// bindMessage asks for a forward. Where the relay chose the port once it is
// asked for the same again: players know it by now.
func (g *Group) bindMessage(i int) proto.Bind {
	f := g.config.Forwards[i]
	port := f.BindPort
	if port == 0 {
		port = g.wishes[i].given
	}
	return proto.Bind{Forward: uint32(i), Host: f.BindHost, Port: port} // #nosec G115 -- an index
}

// known reports an answer for a forward that isn't ours.
func (g *Group) known(id uint32) error {
	if int64(id) >= int64(len(g.wishes)) {
		return fmt.Errorf("%w: an answer for forward %d, which was not asked for", proto.ErrMalformed, id)
	}
	return nil
}

func (g *Group) bound(token proto.Token, m proto.Bound) error {
	if err := g.known(m.Forward); err != nil {
		return err
	}
	g.mu.Lock()
	if g.token != token { // of a session that is over
		g.mu.Unlock()
		return nil
	}
	w := &g.wishes[m.Forward]
	w.state, w.given, w.asked = bound, m.Port, nil
	g.mu.Unlock()
	g.config.Bound(int(m.Forward), netip.AddrPortFrom(publicAddress(m.Host), m.Port))
	return nil
}

// publicAddress is a bound address for display.
func publicAddress(host string) netip.Addr {
	if host == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.IPv6Unspecified()
	}
	return addr
}

func (g *Group) refused(token proto.Token, m proto.Refused) error {
	if err := g.known(m.Forward); err != nil {
		return err
	}
	i := int(m.Forward)
	g.mu.Lock()
	if g.token != token { // of a session that is over
		g.mu.Unlock()
		return nil
	}
	w := &g.wishes[i]
	w.asked = nil
	if g.config.Forwards[i].BindPort == 0 && w.given != 0 && m.Code != proto.CodeDenied {
		w.given = 0 // somebody else has it now
		g.askAny()
		g.mu.Unlock()
		return nil
	}
	no := &proto.Error{Code: m.Code, Text: m.Text}
	w.state = waiting
	if m.Code == proto.CodeDenied || m.Code == proto.CodeMalformed || m.Code == proto.CodeOutlived {
		w.state, w.no = denied, no
	}
	g.mu.Unlock()
	g.config.Refused(i, no)
	return nil
}

// unbound notes a public socket that the relay lost.
func (g *Group) unbound(token proto.Token, m proto.Unbound) error {
	if err := g.known(m.Forward); err != nil {
		return err
	}
	g.mu.Lock()
	if g.token != token { // of a session that is over
		g.mu.Unlock()
		return nil
	}
	no := fmt.Errorf("relay lost the public socket: %w", &proto.Error{Code: m.Code, Text: m.Text})
	w := &g.wishes[m.Forward]
	w.state = waiting
	if m.Code == proto.CodeOutlived {
		w.state, w.no = denied, no
	}
	g.mu.Unlock()
	g.endFlows(func(c *conversation) bool { return c.Forward == m.Forward })
	g.config.Refused(int(m.Forward), no)
	return nil
}

// retry asks again, now and then, for what was refused for now.
func (g *Group) retry(ctx context.Context) error {
	ticker := time.NewTicker(retryBind)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		g.askRefused()
	}
}

// askRefused asks again for what was refused for now.
func (g *Group) askRefused() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range g.wishes {
		if g.wishes[i].state == waiting {
			g.wishes[i].state = asking
		}
	}
	g.askAny()
}
