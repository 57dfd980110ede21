//go:build !linux

// What link_linux.go, host_linux.go and world_linux.go document, on systems
// where there is none of it.

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

func Available() error { return errUnsupported }

type World struct{}

func New(options Options) (*World, error) { return nil, errUnsupported }

func (w *World) Host(name string) (*Host, error) { return nil, errUnsupported }

func (w *World) Link(a, b *Host, subnet netip.Prefix) (*Link, error) { return nil, errUnsupported }

func (w *World) Close() error { return errUnsupported }

type Host struct{}

func (h *Host) Name() string { return "" }

func (h *Host) Do(f func() error) error { return errUnsupported }

func (h *Host) Listen(network, address string) (net.Listener, error) { return nil, errUnsupported }

func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	return nil, errUnsupported
}

func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return nil, errUnsupported
}

func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: name, Args: append([]string{name}, args...), Err: errUnsupported}
}

func (h *Host) Sysctl(key, value string) error { return errUnsupported }

func (h *Host) AddRoute(prefix netip.Prefix, via *Link) error { return errUnsupported }

func (h *Host) DefaultVia(via *Link) error { return errUnsupported }

type Link struct{}

func (l *Link) Set(aToB, bToA Conditions) error { return errUnsupported }

func (l *Link) SetBoth(c Conditions) error { return errUnsupported }

func (l *Link) Conditions() (aToB, bToA Conditions) { return Conditions{}, Conditions{} }

func (l *Link) Cut() {}

func (l *Link) Restore() {}

func (l *Link) Addr(h *Host) netip.Addr { return netip.Addr{} }

func (l *Link) Rebind(h *Host) (netip.Addr, error) { return netip.Addr{}, errUnsupported }

func (l *Link) Forget() {}

func (l *Link) Stats() Stats { return Stats{} }
