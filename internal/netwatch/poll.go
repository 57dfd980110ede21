package netwatch

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
)

// poll reads what every system tells: the host's addresses, and from which of
// them a packet to the Internet would leave, which shows most changes of the
// default route.
type poll struct {
	interfaceAddrs func() ([]net.Addr, error)
	sourceAddress  func(network, to string) (string, error)
}

// openPoll returns a source that must be asked.
func openPoll(log *slog.Logger) source {
	p := &poll{net.InterfaceAddrs, sourceAddress}
	if _, err := p.interfaceAddrs(); err != nil {
		// As where a sandbox has no netlink: the rest still works.
		log.Warn("the host's addresses can't be read; a change of them is noticed only if it changes the one that packets leave from", "error", err)
		p.interfaceAddrs = func() ([]net.Addr, error) { return nil, nil }
	}
	return p
}

func (p *poll) hints() <-chan hint { return nil }
func (p *poll) close()             {}

func (p *poll) snapshot() (state, error) {
	s := newState()
	addrs, err := p.interfaceAddrs()
	if err != nil {
		return s, err
	}
	for _, a := range addrs {
		// Of the kinds that there are, it is always this one.
		ipNet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		if addr, ok := netip.AddrFromSlice(ipNet.IP); ok && matters(addr.Unmap()) {
			s.addresses[address{addr: addr.Unmap()}] = true
		}
	}
	for _, family := range []struct{ network, to, name string }{
		// Addresses of documentation (RFC 5737, RFC 3849): no route of their own
		// leads there, and nothing is sent.
		{"udp4", "192.0.2.1:9", "source address over IPv4"},
		{"udp6", "[2001:db8::1]:9", "source address over IPv6"},
	} {
		from, err := p.sourceAddress(family.network, family.to)
		if err != nil {
			return s, err
		}
		if from != "" {
			s.routes[family.name] = from
		}
	}
	return s, nil
}

// sourceAddress is the address that packets to another would leave from, empty
// if they couldn't. A UDP socket is connected without a packet.
func sourceAddress(network, to string) (string, error) {
	conn, err := net.Dial(network, to)
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "", err
	case err != nil:
		return "", nil
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP.String(), nil
}
