package system

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// Forwarder is the least that a program between player and server can do: it
// takes a datagram from one socket and sends it from another, one system call
// each, no SSH and nothing else in between. It runs in this process, where the
// VPS is: what it adds is the price of passing through user space once each way.
func Forwarder() *System {
	return &System{
		Name: "forwarder", What: "a plain UDP forwarder in user space on the VPS", UDP: true,
		start: func(_ context.Context, place *Place, targets *Targets, running *Running) error {
			f := &forwarder{target: netip.AddrPortFrom(place.Direct, targets.UDP.Port()), host: place.VPS, ended: make(chan struct{}), flows: make(map[netip.AddrPort]*net.UDPConn)}
			err := place.VPS.Do(func() (err error) {
				f.public, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(place.Public, 0)))
				return err
			})
			if err != nil {
				return err
			}
			f.done.Go(f.forward)
			running.stop = append(running.stop, f.close)
			running.UDP = f.public.LocalAddr().String()
			return nil
		},
	}
}

type forwarder struct {
	target netip.AddrPort
	host   Host
	public *net.UDPConn
	ended  chan struct{} // closed when forward has ended
	done   sync.WaitGroup

	flows map[netip.AddrPort]*net.UDPConn // owned by forward, then by close
}

func (f *forwarder) forward() {
	defer close(f.ended)
	b := make([]byte, 65536)
	for {
		n, from, err := f.public.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		flow, ok := f.flows[from]
		if !ok {
			err := f.host.Do(func() (err error) {
				flow, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(f.target))
				return err
			})
			if err != nil {
				continue
			}
			f.flows[from] = flow
			f.done.Go(func() { f.back(flow, from) })
		}
		_, _ = flow.Write(b[:n])
	}
}

func (f *forwarder) back(flow *net.UDPConn, client netip.AddrPort) {
	b := make([]byte, 65536)
	for {
		n, err := flow.Read(b)
		if err != nil {
			return
		}
		_, _ = f.public.WriteToUDPAddrPort(b[:n], client)
	}
}

func (f *forwarder) close() {
	f.public.Close()
	<-f.ended
	for _, flow := range f.flows {
		flow.Close()
	}
	f.done.Wait()
}
