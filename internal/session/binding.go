package session

import (
	"errors"
	"net/netip"
	"sync"
	"syscall"

	"funnel/internal/access"
	"funnel/internal/flow"
	"funnel/internal/limit"
	"funnel/internal/tcpio"
	"funnel/internal/udpio"
	"funnel/proto"
)

// binding is a forward's public side: one socket, or two for "localhost".
type binding struct {
	session *Session
	forward uint32
	host    string // as asked for
	asked   uint16 // port asked for
	port    uint16 // port bound
	sockets []*udpio.Conn
	release func() // gives its place among the forwards back

	toTarget, toClient access.Meters  // its bandwidth
	newcomers          *limit.Buckets // one: flows begun on this port

	flows map[origin]*flow.Entry[*conversation] // guarded by session.mu

	closeOnce sync.Once
}

// origin tells the flows of a binding apart: the client's address, and the
// address of ours it spoke to, which replies must come from.
type origin struct {
	remote netip.AddrPort
	local  netip.Addr
}

// socketRef is the socket a conversation came in by.
type socketRef = *udpio.Conn

// openSockets opens a forward's sockets at one address as RFC 4254 §7.1 writes
// them: "" and "*" for every address, "localhost" for loopback in both
// families.
func openSockets(host string, port uint16) ([]*udpio.Conn, error) {
	if host != "localhost" {
		addr, err := literal(host)
		if err != nil {
			return nil, err
		}
		conn, err := udpio.Listen("udp", netip.AddrPortFrom(addr, port), udpio.Options{})
		if err != nil {
			return nil, err
		}
		return []*udpio.Conn{conn}, nil
	}
	return openLocalhost(port)
}

// openLocalhost opens sockets on one port of both loopback addresses, or of the one
// that this host has.
func openLocalhost(port uint16) ([]*udpio.Conn, error) {
	var err error
	for range localhostTries {
		var first, second *udpio.Conn
		first, err = udpio.Listen("udp4", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port), udpio.Options{})
		if tcpio.IsFamilyMissing(err) {
			first, err = udpio.Listen("udp6", netip.AddrPortFrom(netip.IPv6Loopback(), port), udpio.Options{})
			return []*udpio.Conn{first}, err
		}
		if err != nil {
			return nil, err
		}
		second, err = udpio.Listen("udp6", netip.AddrPortFrom(netip.IPv6Loopback(), first.LocalAddr().Port()), udpio.Options{})
		switch {
		case err == nil:
			return []*udpio.Conn{first, second}, nil
		case tcpio.IsFamilyMissing(err):
			return []*udpio.Conn{first}, nil
		}
		_ = first.Close()
		if port != 0 {
			break // only a port of the system's choice is worth another try
		}
	}
	return nil, err
}

// literal is the address to bind for host, the zero Addr for every address.
func literal(host string) (netip.Addr, error) {
	if host == "" || host == "*" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}, &proto.Error{Code: proto.CodeDenied,
			Text: "bind address " + host + " is neither an IP address nor \"localhost\""}
	}
	return addr, nil
}

// forget takes a flow that left the table out of its binding. The session is
// locked.
func (b *binding) forget(e *flow.Entry[*conversation]) {
	if b.flows[e.Value.from] == e {
		delete(b.flows, e.Value.from)
		b.session.giveFlow()
	}
}

// close closes the sockets; the readers end.
func (b *binding) close() {
	b.closeOnce.Do(func() {
		for _, conn := range b.sockets {
			conn.Close()
		}
		b.release()
	})
}

// warnBuffers says so when the system gives the sockets less than bursts need.
func (b *binding) warnBuffers() {
	got, _, err := b.sockets[0].Buffers()
	if err == nil && got < udpio.DefaultBuffer {
		b.session.log.Warn("the system limits the receive buffer of public UDP sockets; bursts may be lost",
			"bytes", got, "wanted", udpio.DefaultBuffer, "remedy", "sysctl net.core.rmem_max=4194304")
	}
}

// addressInUse reports whether err is the system's way to say that another
// socket has the port. On Windows, whose number differs, EADDRINUSE is Go's
// own.
func addressInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
