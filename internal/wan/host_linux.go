package wan

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Host is a network namespace. Its methods may be called from several goroutines.
type Host struct {
	world     *World
	name      string
	namespace namespace
	netlink   *netlink.Handle

	mu         sync.Mutex
	congestion string // the congestion control of its routes
}

// congestionControl needs more than to be written: see Host.setCongestion.
const congestionControl = "net.ipv4.tcp_congestion_control"

// sysctls of every host.
var sysctls = []struct{ key, value string }{
	// What nearly all hosts on the Internet run.
	{congestionControl, "cubic"},
	// What one run learned of a path must not help the next.
	{"net.ipv4.tcp_no_metrics_save", "1"},
	// The links carry IPv4; router solicitations would only be noise in the counters.
	{"net.ipv6.conf.default.disable_ipv6", "1"},
}

func newHost(w *World, name string) (*Host, error) {
	n, err := newNamespace()
	if err != nil {
		return nil, err
	}
	h := &Host{world: w, name: name, namespace: n}
	if err := h.configure(); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

func (h *Host) configure() (err error) {
	if h.netlink, err = netlink.NewHandleAt(netns.NsHandle(h.namespace.file.Fd())); err != nil {
		return err
	}
	lo, err := h.netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := h.netlink.LinkSetUp(lo); err != nil {
		return err
	}
	for _, s := range sysctls {
		// A kernel without IPv6 has nothing to switch off.
		if err := h.Sysctl(s.key, s.value); err != nil && !(os.IsNotExist(err) && strings.Contains(s.key, "ipv6")) {
			return err
		}
	}
	return nil
}

func (h *Host) close() error {
	if h.netlink != nil {
		h.netlink.Close()
	}
	return h.namespace.file.Close()
}

// Name returns the name given to World.Host.
func (h *Host) Name() string { return h.name }

// Do runs f in the host: on the calling goroutine, with its thread inside the
// namespace. A socket that f makes stays in the host; a goroutine that f starts
// does not, and neither does one that a library starts for it (name lookups,
// several addresses dialed at once).
func (h *Host) Do(f func() error) error { return h.namespace.do(f) }

// Listen is net.Listen in the host. The address must not be a name.
func (h *Host) Listen(network, address string) (listener net.Listener, err error) {
	err = h.Do(func() error {
		listener, err = net.Listen(network, address)
		return err
	})
	return listener, err
}

// ListenPacket is net.ListenPacket in the host. The address must not be a name.
func (h *Host) ListenPacket(network, address string) (conn net.PacketConn, err error) {
	err = h.Do(func() error {
		conn, err = net.ListenPacket(network, address)
		return err
	})
	return conn, err
}

// DialContext is net.Dialer.DialContext in the host. The address must be an IP
// address and a port.
func (h *Host) DialContext(ctx context.Context, network, address string) (conn net.Conn, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial from host %s: %w", h.name, err)
	}
	err = h.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// Command returns a command that runs a program in the host, to be used like
// one of exec.CommandContext. It is killed when ctx ends, when the world is
// closed, and, by the kernel, when this process dies; what it starts itself is
// killed when the world is closed.
//
// nsenter (of util-linux or busybox) brings it there, and then becomes the
// program: the process id is the program's.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancelCause(ctx)
	context.AfterFunc(h.world.ctx, func() { cancel(context.Cause(h.world.ctx)) })
	path, err := exec.LookPath(name)
	c := exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + h.namespace.path(), "--", path}, args...)...)
	if err != nil {
		c.Err = err
	}
	// The signal comes when the thread that started the command ends, not the
	// process: fine, since Go ends a thread only if a goroutine ends while
	// locked to it.
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

// Sysctl sets a kernel parameter of the host's network, such as
// "net.ipv4.tcp_congestion_control". That one is set for the host's routes,
// since the kernel denies a namespace what the machine's administrator hasn't
// allowed to all users; it takes any that the kernel has, for new connections
// that leave the host.
func (h *Host) Sysctl(key, value string) error {
	if !strings.HasPrefix(key, "net.") {
		return fmt.Errorf("sysctl %s: a host has only net parameters of its own", key)
	}
	if key == congestionControl {
		return h.setCongestion(value)
	}
	return h.Do(func() error {
		return os.WriteFile(filepath.Join("/proc/sys", strings.ReplaceAll(key, ".", "/")), []byte(value), 0)
	})
}

// setCongestion sets the congestion control of all routes, also of those to
// come (the route metric RTAX_CC_ALGO).
func (h *Host) setCongestion(name string) error {
	available, err := os.ReadFile("/proc/sys/net/ipv4/tcp_available_congestion_control")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(available)), name) {
		return fmt.Errorf("this kernel has no congestion control %q, only %s", name, bytes.TrimSpace(available))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.congestion = name
	return h.routeCongestion()
}

// routeCongestion brings the routes that are there up to date. h.mu is held.
func (h *Host) routeCongestion() error {
	routes, err := h.netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, r := range routes {
		r.Congctl = h.congestion
		if err := h.netlink.RouteReplace(&r); err != nil {
			return fmt.Errorf("congestion control %s: %w", h.congestion, err)
		}
	}
	return nil
}

// AddRoute sends what is for the prefix to the host at the other end of the link.
func (h *Host) AddRoute(prefix netip.Prefix, via *Link) error {
	end, err := via.end(h)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	route := &netlink.Route{
		LinkIndex: via.ends[end].index, Gw: via.ends[1-end].addr.AsSlice(),
		Dst: ipNet(prefix.Masked()), Congctl: h.congestion,
	}
	if err := h.netlink.RouteReplace(route); err != nil {
		return fmt.Errorf("route of host %s to %s: %w", h.name, prefix, err)
	}
	return nil
}

// DefaultVia sends everything without a route of its own to the host at the
// other end of the link.
func (h *Host) DefaultVia(via *Link) error {
	return h.AddRoute(netip.PrefixFrom(netip.IPv4Unspecified(), 0), via)
}

func ipNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}
