package udpio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// Options are the settings of a socket. The zero value is ready for use.
type Options struct {
	// ReceiveBuffer and SendBuffer are the sizes in bytes asked of the kernel
	// for the socket's queues; zero means [DefaultBuffer]. The kernel may give
	// less, see [Conn.Buffers].
	ReceiveBuffer int
	SendBuffer    int

	// portable chooses the engine of systems without batched calls, for tests.
	portable bool
	// noSegmentation turns UDP segmentation offload off, for measurements.
	noSegmentation bool
}

// Conn is a UDP socket. One goroutine at a time may call Receive; all other
// methods, and sending by way of Senders, may happen at any time beside it.
type Conn struct {
	socket *net.UDPConn
	local  netip.AddrPort
	remote netip.AddrPort // the peer of a connected socket, else invalid
	id     uint64         // unique in the process; spreads Conns in a Sender's table
	engine engine

	received  atomic.Uint64
	reported  atomic.Uint64
	truncated atomic.Uint64
}

// engine is the part of a Conn that differs between systems.
type engine interface {
	// receive does what Conn.Receive promises.
	receive(handle func([]Message)) error
	// transmit sends the messages of one group of s in order and returns how
	// many the kernel took. It skips those that it refused for good.
	transmit(s *Sender, g *group) (sent int)
	// buffers returns what Conn.Buffers promises.
	buffers() (receive, send int, err error)
}

// lastID numbers Conns.
var lastID atomic.Uint64

// Receive waits until datagrams have arrived, takes up to [BatchSize] of them at
// once and calls handle with them in their order of arrival. It returns nil after
// one batch, or without calling handle when all it met was an error that does not
// end the socket: an ICMP message such as port unreachable, which is counted (see
// [Conn.Stats]) and says nothing about the datagrams that follow. So callers call
// it again until it returns an error, which is net.ErrClosed after Close.
//
// The messages and their Data are valid only during handle. handle may send and
// may close the Conn.
func (c *Conn) Receive(handle func(messages []Message)) error {
	err := c.engine.receive(handle)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	}
	return fmt.Errorf("receive on UDP socket %v: %w", c.local, err)
}

// LocalAddr returns the address and port the socket is bound to, with the port
// that the kernel chose when port 0 was asked for. The address of a socket on all
// addresses is unspecified: :: with both families or IPv6, 0.0.0.0 with IPv4.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// RemoteAddr returns the peer of a connected socket, or an invalid AddrPort.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// Close closes the socket. A Receive that waits returns net.ErrClosed.
func (c *Conn) Close() error { return c.socket.Close() }

// Buffers returns the bytes of receive and send queue that the kernel gave the
// socket. When receive is less than was asked for, the system's limit is lower
// (on Linux the settings net.core.rmem_max and net.core.wmem_max) and bursts are
// lost before the program sees them.
func (c *Conn) Buffers() (receive, send int, err error) {
	receive, send, err = c.engine.buffers()
	if err != nil {
		return 0, 0, fmt.Errorf("read buffer sizes of UDP socket %v: %w", c.local, err)
	}
	return receive, send, nil
}

// Stats are counts since the socket was opened.
type Stats struct {
	// Received is the number of datagrams handed to Receive's callers.
	Received uint64
	// Reported is the number of errors that the kernel reported on receiving and
	// that did not end the socket: mostly ICMP port unreachable, on a connected
	// socket whose peer is down.
	Reported uint64
	// Truncated is the number of datagrams dropped because they did not fit a
	// receive buffer, which only IPv6 jumbograms can cause.
	Truncated uint64
}

// Stats returns the counts so far.
func (c *Conn) Stats() Stats {
	return Stats{
		Received:  c.received.Load(),
		Reported:  c.reported.Load(),
		Truncated: c.truncated.Load(),
	}
}
