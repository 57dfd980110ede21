package system

import (
	"errors"
	"net"
	"net/netip"
	"sync"

	"funnel/internal/probe"
)

// Targets are the servers at home that systems expose.
type Targets struct {
	UDP, TCP, Bulk netip.AddrPort // bound to every address of home

	udp      *net.UDPConn
	udpDone  sync.WaitGroup
	tcp      *probe.TCPServer
	transfer *probe.TCPServer
}

// StartTargets starts an echo for UDP and TCP and a bulk server at home.
func StartTargets(home Host) (*Targets, error) {
	t := new(Targets)
	err := home.Do(func() error {
		var err error
		if t.udp, err = net.ListenUDP("udp4", nil); err != nil {
			return err
		}
		echo, err := net.Listen("tcp4", ":0")
		if err != nil {
			return err
		}
		t.tcp = probe.EchoTCP(echo)
		bulk, err := net.Listen("tcp4", ":0")
		if err != nil {
			return err
		}
		t.transfer = probe.ServeBulk(bulk)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, t.Close())
	}
	t.udpDone.Go(func() { probe.EchoUDP(t.udp) })
	local := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	t.UDP = netip.AddrPortFrom(local, t.udp.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	t.TCP = netip.AddrPortFrom(local, t.tcp.Addr().(*net.TCPAddr).AddrPort().Port())
	t.Bulk = netip.AddrPortFrom(local, t.transfer.Addr().(*net.TCPAddr).AddrPort().Port())
	return t, nil
}

// Close stops them.
func (t *Targets) Close() error {
	var err error
	if t.udp != nil {
		err = t.udp.Close()
		t.udpDone.Wait()
	}
	if t.tcp != nil {
		t.tcp.Close()
	}
	if t.transfer != nil {
		t.transfer.Close()
	}
	return err
}
