package wan

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const tunPath = "/dev/net/tun"

// tun is a TUN device (the kernel's Documentation/networking/tuntap.rst): what
// the host's kernel sends to it is read here, and what is written here the
// kernel receives. Without a virtio header the kernel splits segments and
// computes checksums before they get here, so packets are as on a wire. The
// device goes with the descriptor.
type tun struct {
	fd   int // non-blocking, known to no poller of Go's
	name string
}

// openTUN makes a device in the calling thread's namespace.
func openTUN(name string) (*tun, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fmt.Errorf("device %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: tunPath, Err: err}
	}
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("device %s: %w", name, err)
	}
	return &tun{fd: fd, name: name}, nil
}

// read takes the next packet; ok is false if there is none, and the error is
// one that won't pass. It never blocks, so it doesn't tell Go's scheduler, which
// would take the thread's turn to run Go code and give it back when it pleases.
func (t *tun) read(b *[mtu]byte) (n int, ok bool, err error) {
	read, errno := rawIO(unix.SYS_READ, t.fd, b[:])
	switch errno {
	case 0:
		return read, true, nil
	case unix.EAGAIN, unix.EINTR:
		return 0, false, nil
	}
	return 0, false, errno
}

// write gives a packet to the host's kernel, and reports whether it took it.
func (t *tun) write(b []byte) bool {
	_, errno := rawIO(unix.SYS_WRITE, t.fd, b)
	return errno == 0
}

func (t *tun) close() error { return unix.Close(t.fd) }

// rawIO is a read or write that can't block.
func rawIO(trap uintptr, fd int, b []byte) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}
