package relay

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// binding is a forward's public side: one listener, or two for "localhost".
type binding struct {
	address   string // bind address in the client's words
	asked     uint16 // port asked for
	port      uint16 // port bound
	listeners []net.Listener
	opening   slots  // conns to be opened
	release   func() // gives its place back
	revoked   atomic.Bool
	accepting sync.WaitGroup // one for each listener

	toTarget, toClient access.Meters

	serving   bool     // takes clients; guarded by presence.mu, as all below
	confirmed *link    // that asked for it
	heir      *binding // has the listeners since another presence took them, for good
	heirs     *presence
}

// describe names the binding in a log.
func (b *binding) describe() string { return net.JoinHostPort(b.address, strconv.Itoa(int(b.port))) }

// serve begins to take clients; confirm has counted who accepts them.
func (p *presence) serve(b *binding) {
	for _, listener := range b.listeners {
		if !p.spawn(func() {
			defer b.accepting.Done()
			p.acceptClients(b, listener)
		}) {
			b.accepting.Done()
		}
	}
}

// acceptClients takes the clients of one listener until it is closed. It never
// waits for the agent: what it can't pass on is reset.
func (p *presence) acceptClients(b *binding, listener net.Listener) {
	p.relay.accept(p.ctx, listener, func(accepted net.Conn) {
		client, ok := accepted.(*net.TCPConn)
		if !ok || !p.relay.welcome(addrPort(accepted.RemoteAddr()).Addr(), b.port) {
			p.turnAway(b, accepted, "its network is not allowed")
			return
		}
		p.take(b, client)
	})
}

// take makes a client's connection a conn.
func (p *presence) take(b *binding, client *net.TCPConn) {
	release, ok := p.conns.take()
	if !ok {
		p.turnAway(b, client, "too many connections")
		return
	}
	if !b.opening.take() {
		release()
		p.turnAway(b, client, "too many connections wait for the agent")
		return
	}
	if !p.spawn(func() {
		err := p.carry(b, client)
		release()
		if err == errHandedOver {
			b.heirs.take(b.heir, client)
		}
	}) {
		release()
		_ = tcpio.Abort(client)
	}
}

// turnAway resets a client for which there is no room.
func (p *presence) turnAway(b *binding, client net.Conn, cause string) {
	if held, ok := p.relay.turnedAway.Allow(time.Now()); ok {
		p.log.Info("connection reset", "address", b.describe(), "client", client.RemoteAddr().String(), "cause", cause, "held_back", held)
	}
	_ = tcpio.Abort(client)
}

// bequeath gives a binding to another presence, with its listeners as they are:
// no client is refused meanwhile, and those who wait for the agent wait for the
// heir's. It returns nil if it was closed meanwhile.
func (p *presence) bequeath(b *binding, heir *presence) *binding {
	if !p.remove(b) {
		return nil
	}
	for _, listener := range b.listeners {
		_ = listener.(*net.TCPListener).SetDeadline(time.Unix(1, 0)) // ends acceptClients
	}
	b.accepting.Wait()
	for _, listener := range b.listeners {
		_ = listener.(*net.TCPListener).SetDeadline(time.Time{})
	}
	next := &binding{
		address: b.address, asked: b.port, port: b.port, listeners: b.listeners,
		opening: make(slots, maxOpening), release: b.release,
	}
	next.toTarget, next.toClient = heir.currentLease().Meter()
	p.log.Info("binding handed over", "network", "tcp", "address", b.describe())
	p.mu.Lock()
	b.heir, b.heirs = next, heir
	p.tellChanged()
	p.mu.Unlock()
	p.tellUnbound(b)
	p.endIfBare()
	return next
}

// tellUnbound tells an agent that is there that a binding was taken from it: it
// knows of nothing that happens to a port while its link lives.
func (p *presence) tellUnbound(b *binding) {
	l := p.currentLink()
	if l == nil || !p.announced() {
		return
	}
	payload := ssh.Marshal(sshwire.ForwardRequest{Address: b.address, Port: uint32(b.port)})
	p.spawn(func() { // it waits if the agent takes nothing, until the link ends
		_, _, _ = l.conn.SendRequest(sshwire.RequestUnbound, false, payload)
	})
}
