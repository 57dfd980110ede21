package wan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"sync"
	"time"
)

// Available returns nil if a world can be made here, or else why not, in a
// sentence for the user: an error that is [errors.ErrUnsupported] on a system
// other than Linux or without TUN, and [io/fs.ErrPermission] without the rights.
func Available() error {
	w, err := New(Options{})
	if err != nil {
		return err
	}
	return w.Close()
}

// World is a set of hosts and the links between them. Its methods may be
// called from several goroutines.
type World struct {
	seed   uint64
	ctx    context.Context // ends with the world
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	err    error // of the first Close
	hosts  []*Host
	links  []*Link
}

// New makes an empty world. The caller must Close it. Its errors are those of
// [Available].
func New(options Options) (*World, error) {
	if err := tryOut(); err != nil {
		return nil, err
	}
	w := &World{seed: options.Seed}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w, nil
}

// tryOut makes and removes what a world is made of.
func tryOut() error {
	n, err := newNamespace()
	if err != nil {
		return err
	}
	defer n.file.Close()
	return n.do(func() error {
		t, err := openTUN("tryout")
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s, try \"modprobe tun\": %w", tunPath, errors.ErrUnsupported)
		}
		if err != nil {
			return err
		}
		return t.close()
	})
}

// hostName is what World.Host takes: a device's name in Linux has at most 15
// characters.
var hostName = regexp.MustCompile(`^[^/\s:%]{1,15}$`)

// Host makes a host: a network namespace with its loopback up. The name, of 1
// to 15 characters without space, slash, colon or percent sign, is unique in
// the world; a link's device is named after the host at its other end.
func (w *World) Host(name string) (*Host, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, os.ErrClosed
	}
	if !hostName.MatchString(name) || name == "lo" {
		return nil, fmt.Errorf("%q can't be the name of a host, since devices are named after it", name)
	}
	for _, h := range w.hosts {
		if h.name == name {
			return nil, fmt.Errorf("there is a host %s already", name)
		}
	}
	h, err := newHost(w, name)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	w.hosts = append(w.hosts, h)
	return h, nil
}

// Link joins two hosts. In the subnet, IPv4 and at least a /29, a has the first
// address and b the second; Rebind takes from the rest. The link begins as a
// perfect wire with an MTU of 1,500.
func (w *World) Link(a, b *Host, subnet netip.Prefix) (*Link, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, os.ErrClosed
	}
	if a == b || a.world != w || b.world != w {
		return nil, errors.New("a link joins two hosts of its own world")
	}
	if !subnet.Addr().Is4() || subnet.Bits() > 29 {
		return nil, fmt.Errorf("%s is not an IPv4 subnet of at least a /29", subnet)
	}
	l, err := newLink(w, a, b, subnet.Masked())
	if err != nil {
		return nil, fmt.Errorf("link of %s and %s: %w", a.name, b.name, err)
	}
	w.links = append(w.links, l)
	return l, nil
}

// Close kills what still runs in the hosts, and removes links and hosts. When
// it returns no process, goroutine, device or namespace of the world is left,
// save a namespace in which the caller still holds a socket open. It may be
// called more than once.
func (w *World) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return w.err
	}
	w.closed = true
	w.cancel()
	var errs []error
	for _, h := range w.hosts {
		// A process that was killed while it waits for a disk takes a moment.
		if err := h.namespace.kill(10 * time.Second); err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", h.name, err))
		}
	}
	for _, l := range w.links {
		errs = append(errs, l.close())
	}
	for _, h := range w.hosts {
		errs = append(errs, h.close())
	}
	w.err = errors.Join(errs...)
	return w.err
}
