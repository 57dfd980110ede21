package udpio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Listen opens a socket that receives from anyone. network is "udp", "udp4" or
// "udp6". The zero Addr in address stands for all addresses of the network: with
// "udp" both families on one socket when the system has IPv6. 0.0.0.0 means all
// IPv4 addresses, and :: all IPv6 addresses. Port 0 lets the system choose, see
// [Conn.LocalAddr].
//
// A socket on all addresses tells in [Message] which of them a datagram was sent
// to, and can send from any of them.
func Listen(network string, address netip.AddrPort, options Options) (*Conn, error) {
	host := address.Addr().Unmap()
	exact, literal, err := listenFamily(network, host)
	if err != nil {
		return nil, fmt.Errorf("listen on UDP address %v: %w", address, err)
	}
	packets, err := net.ListenPacket(exact, net.JoinHostPort(literal, fmt.Sprint(address.Port())))
	if err != nil {
		return nil, fmt.Errorf("listen on UDP address %v: %w", address, unwrapOp(err))
	}
	return newConn(packets.(*net.UDPConn), netip.AddrPort{}, options)
}

// listenFamily chooses the network and the host text for package net, which takes
// an unspecified address of either family for both families unless told.
func listenFamily(network string, host netip.Addr) (exact, literal string, err error) {
	switch {
	case network != "udp" && network != "udp4" && network != "udp6":
		return "", "", net.UnknownNetworkError(network)
	case !host.IsValid():
		return network, "", nil
	case network == "udp4" && !host.Is4(), network == "udp6" && host.Is4():
		return "", "", fmt.Errorf("address %v does not belong to network %s", host, network)
	case host.Is4():
		return "udp4", host.String(), nil
	}
	return "udp6", host.String(), nil
}

// Dial opens a socket connected to target: it receives from there alone and sends
// nowhere else. It never blocks, and does not tell whether anybody listens there.
func Dial(target netip.AddrPort, options Options) (*Conn, error) {
	target = netip.AddrPortFrom(target.Addr().Unmap(), target.Port())
	socket, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(target))
	if err != nil {
		return nil, fmt.Errorf("connect UDP socket to %v: %w", target, unwrapOp(err))
	}
	return newConn(socket, target, options)
}

// Resolve looks up the address of target, "host:port", for [Dial]. A host that
// has both kinds of address yields an IPv4 one: connecting a UDP socket does not
// tell whether anybody listens, so there is no trying the other, and a server
// that listens on one family only listens on IPv4.
func Resolve(ctx context.Context, target string) (netip.AddrPort, error) {
	if address, err := netip.ParseAddrPort(target); err == nil {
		return netip.AddrPortFrom(address.Addr().Unmap(), address.Port()), nil
	}
	host, service, err := net.SplitHostPort(target)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("look up UDP target %q: %w", target, err)
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("look up UDP target %q: %w", target, err)
	}
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("look up UDP target %q: %w", target, err)
	}
	if len(addresses) == 0 {
		return netip.AddrPort{}, fmt.Errorf("look up UDP target %q: no address", target)
	}
	best := addresses[0].Unmap()
	for _, address := range addresses {
		if address = address.Unmap(); address.Is4() {
			best = address
			break
		}
	}
	return netip.AddrPortFrom(best, uint16(port)), nil // #nosec G115 -- looked up as a port
}

// newConn takes over an open socket, also when it returns an error.
func newConn(socket *net.UDPConn, remote netip.AddrPort, options Options) (*Conn, error) {
	if options.ReceiveBuffer == 0 {
		options.ReceiveBuffer = DefaultBuffer
	}
	if options.SendBuffer == 0 {
		options.SendBuffer = DefaultBuffer
	}
	c := &Conn{
		socket: socket,
		local:  unmapped(socket.LocalAddr().(*net.UDPAddr).AddrPort()),
		remote: remote,
		id:     lastID.Add(1),
	}
	var err error
	if c.engine, err = newEngine(c, options); err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("prepare UDP socket %v: %w", c.local, err)
	}
	return c, nil
}

// wildcard reports whether the socket is bound to all addresses.
func (c *Conn) wildcard() bool {
	return !c.remote.IsValid() && c.local.Addr().IsUnspecified()
}

// unmapped returns a with an IPv4-mapped address turned into the IPv4 address.
func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// unwrapOp strips the address that package net repeats in its errors.
func unwrapOp(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
