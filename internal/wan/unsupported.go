package wan

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
)

var errUnsupported = fmt.Errorf("the link emulator needs Linux, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Options of a world.
type Options struct {
	// Seed makes the loss, the jitter and the outages the same in each run, as
	// far as the packets come at the same times. Every link and direction draws
	// from a sequence of its own.
	Seed uint64
}

// Available returns nil if a world can be made here, or else why not, in a
// sentence for the user: an error that is [errors.ErrUnsupported] on a system
// other than Linux or without TUN, and [io/fs.ErrPermission] without the rights.
func Available() error { return errUnsupported }

// World is a set of hosts and the links between them. Its methods may be
// called from several goroutines.
type World struct{}

// New makes an empty world. The caller must Close it. Its errors are those of
// [Available].
func New(options Options) (*World, error) { return nil, errUnsupported }

// Host makes a host: a network namespace with its loopback up. The name, of 1
// to 15 characters without space or slash, is unique in the world; a link's
// device is named after the host at its other end.
func (w *World) Host(name string) (*Host, error) { return nil, errUnsupported }

// Link joins two hosts. In the subnet, IPv4 and at least a /29, a has the first
// address and b the second; Rebind takes from the rest. The link begins as a
// perfect wire with an MTU of 1,500.
func (w *World) Link(a, b *Host, subnet netip.Prefix) (*Link, error) { return nil, errUnsupported }

// Close kills what still runs in the hosts, and removes links and hosts. When
// it returns no process, thread, device or namespace of the world is left,
// save a namespace in which the caller still holds a socket open. It may be
// called more than once.
func (w *World) Close() error { return errUnsupported }

// Host is a network namespace.
type Host struct{}

// Name returns the name given to World.Host.
func (h *Host) Name() string { return "" }

// Do runs f in the host: on the calling goroutine, with its thread inside the
// namespace. A socket that f makes stays in the host; a goroutine that f starts
// does not, and neither does one that a library starts for it (name lookups,
// several addresses dialed at once).
func (h *Host) Do(f func() error) error { return errUnsupported }

// Listen is net.Listen in the host.
func (h *Host) Listen(network, address string) (net.Listener, error) { return nil, errUnsupported }

// ListenPacket is net.ListenPacket in the host.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	return nil, errUnsupported
}

// DialContext is net.Dialer.DialContext in the host; the address must be an IP
// address and a port.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errUnsupported
}

// Command returns a command that runs a program in the host, to be used like
// one of exec.CommandContext. It is killed when ctx ends, when the world is
// closed, and, by the kernel, when this process dies.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: name, Args: append([]string{name}, args...), Err: errUnsupported}
}

// Sysctl sets a kernel parameter of the host, such as
// "net.ipv4.tcp_congestion_control".
func (h *Host) Sysctl(key, value string) error { return errUnsupported }

// AddRoute sends what is for the prefix to the host at the other end of the link.
func (h *Host) AddRoute(prefix netip.Prefix, via *Link) error { return errUnsupported }

// DefaultVia sends everything without a route of its own to the host at the
// other end of the link.
func (h *Host) DefaultVia(via *Link) error { return errUnsupported }

// Link is a line between two hosts, a and b as given to World.Link. Its
// methods may be called while packets pass.
type Link struct{}

// Set sets both directions at once, for the packets that come from now on; what
// is on its way arrives when it was going to. An outage or a busy bottleneck
// ends with the old conditions.
func (l *Link) Set(aToB, bToA Conditions) error { return errUnsupported }

// SetBoth sets the same conditions for both directions.
func (l *Link) SetBoth(c Conditions) error { return errUnsupported }

// Conditions returns what is set.
func (l *Link) Conditions() (aToB, bToA Conditions) { return Conditions{}, Conditions{} }

// Cut drops everything in both directions, what is on its way too, until
// Restore. Neither end is told: that is what a pulled cable behind a router, a
// frozen modem and a host that hangs look like from the other end.
func (l *Link) Cut() {}

// Restore ends a Cut.
func (l *Link) Restore() {}

// Addr returns the address at which h, one of the two ends, is reached from
// the other end now: its own, until Rebind.
func (l *Link) Addr(h *Host) netip.Addr { return netip.Addr{} }

// Rebind gives h, one of the two ends, another address, as a provider does
// overnight: a NAT in the link rewrites h's address to a new one, which is
// returned, and what is sent to the old one is lost. The host keeps its own
// address and sees nothing, as behind a home router. The connections it had
// open don't survive: their segments now come from a stranger, and the other
// end resets them, while the other end's own segments get no answer. UDP goes
// on from the new address. Ports are kept, so h still accepts connections.
func (l *Link) Rebind(h *Host) (netip.Addr, error) { return netip.Addr{}, errUnsupported }

// Forget makes a stateful NAT or firewall in the link forget all its TCP
// connections, as a router that restarts or a carrier's NAT that has had enough:
// their segments are dropped without a word in both directions, for good.
// New connections pass. UDP is not touched: the next datagram makes its mapping
// anew.
func (l *Link) Forget() {}

// Stats returns the counters.
func (l *Link) Stats() Stats { return Stats{} }
