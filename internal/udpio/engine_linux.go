package udpio

import (
	"errors"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// bufferScale is what the kernel's buffer sizes are multiplied by: it doubles
// what was asked for, to have room for its own bookkeeping (socket(7)).
const bufferScale = 2

// linuxEngine moves datagrams by recvmmsg(2) and sendmmsg(2).
type linuxEngine struct {
	// Static after construction.
	conn       *Conn
	raw        syscall.RawConn
	read       func(fd uintptr) bool // tryRead, made once so that waiting allocates nothing
	ipv6       bool                  // an AF_INET6 socket, of both families or one
	packetInfo bool                  // the kernel tells where datagrams were sent to

	// Owned by the goroutine that receives.
	batch *batch // what tryRead has filled
	count int    // how many messages of it
	errno syscall.Errno

	// segmentLimit is the longest datagram in bytes that is worth trying to send
	// with segmentation offload, 0 when the kernel or the device cannot do it.
	segmentLimit atomic.Int32
}

func newEngine(c *Conn, options Options) (engine, error) {
	if options.portable {
		return newPortableEngine(c, options)
	}
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	e := &linuxEngine{conn: c, raw: raw}
	e.read = e.tryRead
	var setupErr error
	if err := raw.Control(func(fd uintptr) { setupErr = e.setup(int(fd), options) }); err != nil {
		return nil, err
	}
	return e, setupErr
}

// setup reads and sets the options of the new socket.
func (e *linuxEngine) setup(fd int, options Options) error {
	// Less than what is asked for is no error, see Conn.Buffers.
	setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, options.ReceiveBuffer)
	setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, options.SendBuffer)
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	e.ipv6 = domain == unix.AF_INET6
	if e.conn.wildcard() {
		level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
		if e.ipv6 {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
		}
		if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
			return err
		}
		e.packetInfo = true
	}
	if options.noSegmentation {
		return nil
	}
	// A kernel older than 4.18 does not know the option, and would send a run of
	// datagrams as one long datagram.
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err == nil {
		e.segmentLimit.Store(MaxDatagram)
	}
	return nil
}

// noForce remembers that the process lacks the right (CAP_NET_ADMIN) to exceed
// the system's limits, to save a call per socket.
var noForce atomic.Bool

// setBuffer sets the size of a queue, by the option force beyond the system's
// limit if that is allowed, else by the option plain up to the limit.
func setBuffer(fd, force, plain, size int) {
	if !noForce.Load() {
		err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
		if err == nil {
			return
		}
		if errors.Is(err, unix.EPERM) {
			noForce.Store(true)
		}
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
}

func (e *linuxEngine) buffers() (receive, send int, err error) {
	return socketBuffers(e.raw)
}
