package udpio

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/windows"
)

// messageTruncated marks a datagram that did not fit its buffer.
const messageTruncated = windows.MSG_TRUNC

// readiness tells whether a socket has something to read. Here RawConn.Read waits
// by a read of no bytes, which sees also what was there before.
type readiness struct {
	waited bool
}

func (r *readiness) begin() { r.waited = false }

// check is called by RawConn.Read until it returns true.
func (r *readiness) check(uintptr) bool {
	waited := r.waited
	r.waited = true
	return waited
}

// survivable reports whether the socket goes on working after err. Windows reports
// ICMP port unreachable as a reset, also on sockets that are not connected.
func survivable(err error) bool {
	var errno syscall.Errno
	return !errors.Is(err, net.ErrClosed) && errors.As(err, &errno) && errno != windows.WSAENOTSOCK
}

// socketBuffers returns the sizes of the kernel's queues.
func socketBuffers(raw syscall.RawConn) (receive, send int, err error) {
	controlErr := raw.Control(func(fd uintptr) {
		handle := windows.Handle(fd)
		if receive, err = windows.GetsockoptInt(handle, windows.SOL_SOCKET, windows.SO_RCVBUF); err == nil {
			send, err = windows.GetsockoptInt(handle, windows.SOL_SOCKET, windows.SO_SNDBUF)
		}
	})
	return receive, send, errors.Join(controlErr, err)
}
