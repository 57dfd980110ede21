package wan

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
)

// Link is a line between two hosts, a and b as given to World.Link. Its
// methods may be called while packets pass, and from several goroutines.
type Link struct {
	subnet netip.Prefix
	ends   [2]end // a, b; static

	// Set by the methods, followed by the wire from its next packet on.
	conditions  atomic.Pointer[[2]Conditions] // of what a sends, of what b sends
	translation atomic.Pointer[translation]
	cuts        atomic.Uint64 // counts cuts and restores: odd while cut
	forgets     atomic.Uint64

	counters [2]counters // of what a sends, of what b sends
	wire     *wire

	mu       sync.Mutex // one method that changes the link at a time
	nextAddr netip.Addr // for Rebind
	closed   bool
}

// end is one end of a link.
type end struct {
	host  *Host
	addr  netip.Addr // the host's own
	tun   *tun
	index int // the device's
}

func newLink(w *World, a, b *Host, subnet netip.Prefix) (l *Link, err error) {
	l = &Link{subnet: subnet}
	addr := subnet.Addr()
	t := &translation{subnet: subnet}
	for i, hosts := range [2][2]*Host{{a, b}, {b, a}} {
		addr = addr.Next()
		t.ends[i].inside, t.ends[i].outside = addr.As4(), addr.As4()
		if l.ends[i], err = newEnd(hosts[0], hosts[1].name, netip.PrefixFrom(addr, subnet.Bits())); err != nil {
			break
		}
	}
	if err == nil {
		l.nextAddr = addr.Next()
		l.translation.Store(t)
		l.conditions.Store(new([2]Conditions))
		l.wire, err = startWire(l, w.seed, uint64(len(w.links)))
	}
	if err != nil {
		return nil, errors.Join(err, l.closeDevices())
	}
	return l, nil
}

// newEnd makes a device in the host and brings it up.
func newEnd(h *Host, device string, prefix netip.Prefix) (e end, err error) {
	e = end{host: h, addr: prefix.Addr()}
	if err := h.Do(func() (err error) {
		e.tun, err = openTUN(device)
		return err
	}); err != nil {
		return e, err
	}
	link, err := h.netlink.LinkByName(device)
	if err != nil {
		return e, err
	}
	e.index = link.Attrs().Index
	if err := errors.Join(
		h.netlink.LinkSetTxQLen(link, txQueueLen),
		h.netlink.LinkSetMTU(link, mtu),
		h.netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(prefix)}),
		h.netlink.LinkSetUp(link),
	); err != nil {
		return e, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return e, h.routeCongestion() // the subnet's route has come with the address
}

func (l *Link) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return errors.Join(l.wire.stop(), l.closeDevices())
}

func (l *Link) closeDevices() error {
	var errs []error
	for _, e := range l.ends {
		if e.tun != nil {
			errs = append(errs, e.tun.close())
		}
	}
	return errors.Join(errs...)
}

// end finds which end of the link a host is.
func (l *Link) end(h *Host) (int, error) {
	for i, e := range l.ends {
		if e.host == h {
			return i, nil
		}
	}
	return 0, fmt.Errorf("host %s is not on the link of %s and %s", h.name, l.ends[0].host.name, l.ends[1].host.name)
}

// Set sets both directions at once, for the packets that come from now on; what
// is on its way arrives when it was going to. A change of Rate begins with an
// empty queue, a change of Outage with a new draw.
func (l *Link) Set(aToB, bToA Conditions) error {
	for _, c := range [2]Conditions{aToB, bToA} {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("link of %s and %s: %w", l.ends[0].host.name, l.ends[1].host.name, err)
		}
	}
	l.conditions.Store(&[2]Conditions{aToB, bToA})
	return nil
}

// SetBoth sets the same conditions for both directions.
func (l *Link) SetBoth(c Conditions) error { return l.Set(c, c) }

// Conditions returns what is set.
func (l *Link) Conditions() (aToB, bToA Conditions) {
	c := l.conditions.Load()
	return c[0], c[1]
}

// Cut drops everything in both directions, what is on its way too, until
// Restore. Neither end is told: that is what a pulled cable behind a router, a
// frozen modem and a host that hangs look like from the other end.
func (l *Link) Cut() { l.setCut(1) }

// Restore ends a Cut.
func (l *Link) Restore() { l.setCut(0) }

func (l *Link) setCut(cut uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cuts.Load()%2 != cut {
		l.cuts.Add(1)
	}
}

// Addr returns the address at which h, one of the two ends, is reached from
// the other end now: its own, until Rebind. It is the zero Addr for another host.
func (l *Link) Addr(h *Host) netip.Addr {
	i, err := l.end(h)
	if err != nil {
		return netip.Addr{}
	}
	return netip.AddrFrom4(l.translation.Load().ends[i].outside)
}

// Rebind gives h, one of the two ends, another address, as a provider does
// overnight: a NAT in the link rewrites h's address to a new one, which is
// returned, and what is sent to the old one is lost. The host keeps its own
// address and sees nothing, as behind a home router. The connections it had
// open don't survive: their segments now come from a stranger, and the other
// end resets them, while the other end's own segments get no answer. UDP goes
// on from the new address. Ports are kept, so h still accepts connections.
func (l *Link) Rebind(h *Host) (netip.Addr, error) {
	i, err := l.end(h)
	if err != nil {
		return netip.Addr{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	addr := l.nextAddr
	// The subnet's last address is for broadcast.
	if !l.subnet.Contains(addr.Next()) {
		return netip.Addr{}, fmt.Errorf("subnet %s has no address left", l.subnet)
	}
	l.nextAddr = addr.Next()
	t := *l.translation.Load()
	t.ends[i].outside = addr.As4()
	l.translation.Store(&t)
	return addr, nil
}

// Forget makes a stateful NAT or firewall in the link forget all its TCP
// connections, as a router that restarts or a carrier's NAT that has had enough:
// their segments are dropped without a word in both directions, for good.
// New connections pass. UDP is not touched: the next datagram makes its mapping
// anew.
func (l *Link) Forget() { l.forgets.Add(1) }

// Stats returns the counters. After World.Close, Overrun is 0.
func (l *Link) Stats() Stats {
	return Stats{AToB: l.direction(0), BToA: l.direction(1)}
}

func (l *Link) direction(from int) Counters {
	c := l.counters[from].snapshot()
	c.Overrun = l.overrun(from)
	return c
}

// overrun reads what the kernel dropped because nobody took it.
func (l *Link) overrun(from int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0
	}
	e := l.ends[from]
	link, err := e.host.netlink.LinkByIndex(e.index)
	if err != nil || link.Attrs().Statistics == nil {
		return 0
	}
	return link.Attrs().Statistics.TxDropped
}
