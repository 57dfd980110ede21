//go:build !windows

package udpio

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// messageTruncated marks a datagram that did not fit its buffer.
const messageTruncated = unix.MSG_TRUNC

// readiness tells whether a socket has something to read.
type readiness struct {
	descriptors [1]unix.PollFd
}

func (r *readiness) begin() {}

// check is called by RawConn.Read until it returns true.
func (r *readiness) check(fd uintptr) bool {
	r.descriptors[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} // #nosec G115 -- descriptors are small
	n, err := unix.Poll(r.descriptors[:], 0)
	return err == nil && n > 0
}

// survivable reports whether the socket goes on working after err.
func survivable(err error) bool {
	var errno syscall.Errno
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &errno) &&
		errno != unix.EBADF && errno != unix.ENOTSOCK
}

// socketBuffers returns the sizes of the kernel's queues.
func socketBuffers(raw syscall.RawConn) (receive, send int, err error) {
	controlErr := raw.Control(func(fd uintptr) {
		if receive, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil {
			send, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		}
	})
	return receive / bufferScale, send / bufferScale, errors.Join(controlErr, err)
}
