package udpio

import (
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// controlSpace is room for the control messages that tell a local address, on any
// system and of either family.
const controlSpace = 128

// portableEngine moves one datagram at a time by package net.
type portableEngine struct {
	conn       *Conn
	raw        syscall.RawConn
	ready      func(uintptr) bool
	readiness  readiness
	packetInfo bool
	ipv6       bool
}

func newPortableEngine(c *Conn, options Options) (engine, error) {
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	_ = c.socket.SetReadBuffer(options.ReceiveBuffer)
	_ = c.socket.SetWriteBuffer(options.SendBuffer)
	e := &portableEngine{conn: c, raw: raw, ipv6: c.local.Addr().Is6()}
	e.ready = e.readiness.check
	if c.wildcard() {
		// A system that cannot tell leaves the choice of the source address of
		// replies to its routing table.
		if e.ipv6 {
			err = ipv6.NewPacketConn(c.socket).SetControlMessage(ipv6.FlagDst, true)
		} else {
			err = ipv4.NewPacketConn(c.socket).SetControlMessage(ipv4.FlagDst, true)
		}
		e.packetInfo = err == nil
	}
	return e, nil
}

func (e *portableEngine) receive(handle func([]Message)) error {
	e.readiness.begin()
	if err := e.raw.Read(e.ready); err != nil {
		return err
	}
	b := batches.get()
	defer batches.put(b)
	var control [controlSpace]byte
	buffer := b.buffer(0)
	n, controls, flags, remote, err := e.conn.socket.ReadMsgUDPAddrPort(buffer, control[:])
	if err != nil {
		if !survivable(err) {
			return err
		}
		e.conn.reported.Add(1)
		return nil
	}
	if flags&messageTruncated != 0 {
		e.conn.truncated.Add(1)
		return nil
	}
	if e.conn.remote.IsValid() {
		remote = e.conn.remote
	}
	e.conn.received.Add(1)
	b.messages[0] = Message{Data: buffer[:n], Remote: unmapped(remote), Local: e.localAddr(control[:controls])}
	handle(b.messages[:1])
	return nil
}

// localAddr returns the destination address that control tells, if any.
func (e *portableEngine) localAddr(control []byte) netip.Addr {
	if !e.packetInfo || len(control) == 0 {
		return netip.Addr{}
	}
	var address netip.Addr
	if e.ipv6 {
		var message ipv6.ControlMessage
		if message.Parse(control) == nil {
			address, _ = netip.AddrFromSlice(message.Dst)
		}
	} else {
		var message ipv4.ControlMessage
		if message.Parse(control) == nil {
			address, _ = netip.AddrFromSlice(message.Dst)
		}
	}
	if address = address.Unmap(); !address.IsValid() || address.IsMulticast() {
		return netip.Addr{}
	}
	return address
}

func (e *portableEngine) transmit(s *Sender, g *group) (sent int) {
	for i := g.first; i != none; i = s.messages[i].next {
		m := &s.messages[i]
		err := e.write(m, e.source(m.local))
		if err != nil && survivable(err) {
			// The error may be about an earlier datagram, or the system may
			// not take this way of naming the source.
			err = e.write(m, nil)
		}
		if err == nil {
			sent++
		}
	}
	return sent
}

func (e *portableEngine) write(m *outgoing, control []byte) error {
	remote := m.remote
	if e.conn.remote.IsValid() {
		remote = netip.AddrPort{}
	} else if !remote.IsValid() {
		return syscall.EDESTADDRREQ
	}
	_, _, err := e.conn.socket.WriteMsgUDPAddrPort(m.data, control, remote)
	return err
}

// source returns the control message that makes a datagram leave from local.
func (e *portableEngine) source(local netip.Addr) []byte {
	if !e.packetInfo || !local.IsValid() {
		return nil
	}
	// Also on a socket of both families, an IPv4 datagram takes IPv4's message.
	if local = local.Unmap(); local.Is4() {
		address := local.As4()
		return (&ipv4.ControlMessage{Src: address[:]}).Marshal()
	}
	address := local.As16()
	return (&ipv6.ControlMessage{Src: address[:]}).Marshal()
}

func (e *portableEngine) buffers() (receive, send int, err error) {
	return socketBuffers(e.raw)
}
