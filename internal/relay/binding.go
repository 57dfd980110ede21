package relay

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"

	"funnel/internal/access"
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

	toTarget, toClient access.Meters
}

// describe names the binding in a log.
func (b *binding) describe() string { return net.JoinHostPort(b.address, strconv.Itoa(int(b.port))) }

// acceptClients takes the clients of one listener until it is closed. It never
// waits for the agent: what it can't pass on is reset.
func (l *link) acceptClients(ctx context.Context, b *binding, listener net.Listener) {
	accept(ctx, listener, l.log, func(accepted net.Conn) {
		client, ok := accepted.(*net.TCPConn)
		if !ok || !l.welcome(addrPort(accepted.RemoteAddr()).Addr(), b.port) {
			l.turnAway(b, accepted, "its network is not allowed")
			return
		}
		release, ok := l.conns.take()
		if !ok {
			l.turnAway(b, accepted, "too many connections")
			return
		}
		if !b.opening.take() {
			release()
			l.turnAway(b, accepted, "too many connections wait for the agent")
			return
		}
		l.tasks.Go(func() {
			defer release()
			l.carry(ctx, b, client)
		})
	})
}

// turnAway resets a client for which there is no room.
func (l *link) turnAway(b *binding, client net.Conn, cause string) {
	l.logRefused("connection reset", "address", b.describe(), "client", client.RemoteAddr().String(), "cause", cause)
	_ = tcpio.Abort(client)
}

func (l *link) closeBinding(b *binding) {
	for _, listener := range b.listeners {
		_ = listener.Close()
	}
	b.release()
	l.log.Info("binding closed", "network", "tcp", "address", b.describe())
}

func (l *link) closeBindings() {
	for _, b := range l.bindings {
		l.closeBinding(b)
	}
	l.bindings = nil
}
