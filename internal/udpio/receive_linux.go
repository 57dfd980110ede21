package udpio

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// messageHeader is struct mmsghdr of recvmmsg(2).
type messageHeader struct {
	header unix.Msghdr
	length uint32 // payload bytes received or sent
}

// controlSize is the room for control messages of one datagram, in bytes: one
// struct in6_pktinfo (20 bytes and a header of 16) or in_pktinfo on the way in;
// on the way out also a UDP_SEGMENT (2 bytes and a header of 16).
const controlSize = 64

// control is aligned as struct cmsghdr asks.
type control [controlSize / 8]uint64

func (c *control) bytes() *[controlSize]byte { return (*[controlSize]byte)(unsafe.Pointer(c)) }

// batchSystem is what recvmmsg needs per batch.
type batchSystem struct {
	headers  [BatchSize]messageHeader
	vectors  [BatchSize]unix.Iovec
	names    [BatchSize]unix.RawSockaddrInet6 // of both families; the greater struct
	controls [BatchSize]control
}

// init connects the parts once; later calls only restore what the kernel changes.
func (s *batchSystem) init(b *batch) {
	for i := range s.headers {
		buffer := b.buffer(i)
		s.vectors[i].Base = &buffer[0]
		s.vectors[i].SetLen(len(buffer))
		header := &s.headers[i].header
		header.Iov = &s.vectors[i]
		header.SetIovlen(1)
		header.Name = (*byte)(unsafe.Pointer(&s.names[i]))
		header.Control = (*byte)(unsafe.Pointer(&s.controls[i]))
		s.restore(i)
	}
}

// restore undoes what receiving has changed in header i.
func (s *batchSystem) restore(i int) {
	header := &s.headers[i].header
	header.Namelen = unix.SizeofSockaddrInet6
	header.SetControllen(controlSize)
	header.Flags = 0
}

func (e *linuxEngine) receive(handle func([]Message)) error {
	if err := e.raw.Read(e.read); err != nil {
		return err
	}
	b, n := e.batch, e.count
	e.batch = nil
	if e.errno != 0 {
		batches.put(b)
		return e.report(e.errno)
	}
	kept := e.decode(b, n)
	if kept > 0 {
		e.conn.received.Add(uint64(kept))
		handle(b.messages[:kept])
	}
	batches.put(b)
	return nil
}

// tryRead is called by RawConn.Read, first at once and then whenever the socket
// may have become readable, until it returns true. The caller owns e.batch then.
func (e *linuxEngine) tryRead(fd uintptr) bool {
	b := batches.get()
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd,
			uintptr(unsafe.Pointer(&b.system.headers)), BatchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			batches.put(b)
			return false
		}
		e.batch, e.count, e.errno = b, int(n), errno
		return true
	}
}

// report counts an error that the kernel had for us, and returns it only when the
// socket itself is unusable.
func (e *linuxEngine) report(errno syscall.Errno) error {
	switch errno {
	case unix.EBADF, unix.ENOTSOCK, unix.EFAULT, unix.EINVAL, unix.ENOSYS:
		return errno
	}
	// An ICMP message about something sent earlier, or a moment without memory.
	e.conn.reported.Add(1)
	return nil
}

// decode turns the first n headers of b into messages and makes the headers ready
// for the next call. It returns how many messages there are.
func (e *linuxEngine) decode(b *batch, n int) int {
	kept := 0
	for i := range n {
		header := &b.system.headers[i]
		if header.header.Flags&unix.MSG_TRUNC != 0 {
			e.conn.truncated.Add(1)
			b.system.restore(i)
			continue
		}
		m := &b.messages[kept]
		m.Data = b.buffer(i)[:header.length]
		if m.Remote = e.conn.remote; !m.Remote.IsValid() {
			m.Remote = decodeName(&b.system.names[i])
		}
		m.Local = netip.Addr{}
		if e.packetInfo {
			length := min(int(header.header.Controllen), controlSize) // #nosec G115 -- written by the kernel, and cut
			m.Local = decodeLocal(b.system.controls[i].bytes()[:length])
		}
		b.system.restore(i)
		kept++
	}
	return kept
}
