// Package forward holds what a user asks to have exposed: a network, where to
// listen on the relay, and the target behind the agent. Start with [Parse].
package forward

import (
	"net"
	"strconv"
)

// Network is a transport protocol, in the spelling of package net.
type Network string

// The networks a forward can be of.
const (
	TCP Network = "tcp"
	UDP Network = "udp"
)

// Forward is one port of the relay and the target its traffic goes to.
type Forward struct {
	Network Network

	// BindHost is the address to listen on at the relay, as in RFC 4254 §7.1:
	// "" is every address of both families, "0.0.0.0" every IPv4 address, "::"
	// every IPv6 address, "localhost" loopback. IPv6 addresses are without
	// brackets.
	BindHost string

	// BindPort is the port to listen on; 0 lets the relay choose.
	BindPort uint16

	// TargetHost is the host to connect to from the agent, a name or an
	// address without brackets.
	TargetHost string

	// TargetPort is the port to connect to, never 0.
	TargetPort uint16
}

// Listen is where the forward listens on the relay: ":25565" for every
// address, "0.0.0.0:25565", "[::]:25565".
func (f Forward) Listen() string { return join(f.BindHost, f.BindPort) }

// Target is the host and port to connect to, as package net takes them.
func (f Forward) Target() string { return join(f.TargetHost, f.TargetPort) }

// String describes the forward to a person, as in
// "udp 0.0.0.0:27015 -> 127.0.0.1:27015".
func (f Forward) String() string {
	return string(f.Network) + " " + f.Listen() + " -> " + f.Target()
}

func join(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
