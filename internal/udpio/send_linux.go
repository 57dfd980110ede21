package udpio

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// sendBatch is the most headers given to one sendmmsg. It is the kernel's
	// practice to do the whole way to a local receiver inside the call, so longer
	// batches would hold a processor without need.
	sendBatch = 64

	// maxSegments is the most datagrams the kernel cuts from one payload:
	// UDP_MAX_SEGMENTS of linux/udp.h before it was raised to 128.
	maxSegments = 64

	// maxSegmented bounds the payload to cut, in bytes: 65,535 less all headers,
	// of IPv6 with room for extensions.
	maxSegmented = 65000
)

// senderSystem is what sendmmsg needs per Sender.
type senderSystem struct {
	headers  [sendBatch]messageHeader
	names    [sendBatch]unix.RawSockaddrInet6
	controls [sendBatch]control
	first    [sendBatch]int32 // the message that header i begins with
	segments [sendBatch]int32 // how many messages it carries
	vectors  [maxPending]unix.Iovec

	// The arguments and the result of control.
	control func(fd uintptr) // made once, so that sending allocates nothing
	sender  *Sender
	engine  *linuxEngine
	group   *group
	sent    int
}

func (s *senderSystem) init(sender *Sender) {
	s.sender = sender
	s.control = s.transmit
	for i := range s.headers {
		s.headers[i].header.Name = (*byte)(unsafe.Pointer(&s.names[i]))
	}
}

func (e *linuxEngine) transmit(s *Sender, g *group) (sent int) {
	system := &s.system
	system.engine, system.group, system.sent = e, g, 0
	// Control, unlike Write, takes no lock: Senders do not wait for each other.
	// Its error says that the Conn is closed, and all is dropped.
	_ = e.raw.Control(system.control)
	system.engine, system.group = nil, nil
	clear(system.vectors[:g.count])
	return system.sent
}

// transmit sends the group.
func (s *senderSystem) transmit(fd uintptr) {
	next := s.group.first
	for next != none {
		var n int
		if n, next = s.build(next); n == 0 {
			continue
		}
		if again, ok := s.sendAll(fd, n); !ok {
			return
		} else if again != none {
			next = again
		}
	}
}

// build fills headers from the messages that begin with next. It returns how many
// headers there are and the message after them.
func (s *senderSystem) build(next int32) (n int, _ int32) {
	messages := s.sender.messages
	limit := int(s.engine.segmentLimit.Load())
	vector := 0
	for n < sendBatch && next != none {
		m := &messages[next]
		header := &s.headers[n].header
		header.Namelen = 0
		if !s.engine.conn.remote.IsValid() {
			header.Namelen = encodeName(&s.names[n], m.remote, s.engine.ipv6)
			if header.Namelen == 0 {
				next = m.next // no way to send this one
				continue
			}
		}
		s.first[n] = next
		start := vector
		next = s.gather(&vector, next, limit)
		s.segments[n] = int32(vector - start)
		header.Iov = &s.vectors[start]
		header.SetIovlen(vector - start)
		s.setControl(n, m)
		n++
	}
	return n, next
}

// gather puts into vectors the message first and those behind it that can go out
// with it in one payload: to and from the same addresses and of equal length, of
// which the last may be shorter. It returns the message after them.
func (s *senderSystem) gather(vector *int, first int32, limit int) int32 {
	messages := s.sender.messages
	m := &messages[first]
	size, total := len(m.data), len(m.data)
	s.addVector(vector, m.data)
	next := m.next
	if size == 0 || size > limit {
		return next
	}
	for count := 1; next != none && count < maxSegments; count++ {
		other := &messages[next]
		length := len(other.data)
		total += length
		if length == 0 || length > size || total > maxSegmented ||
			other.remote != m.remote || other.local != m.local {
			break
		}
		s.addVector(vector, other.data)
		next = other.next
		if length < size {
			break
		}
	}
	return next
}

func (s *senderSystem) addVector(vector *int, data []byte) {
	v := &s.vectors[*vector]
	v.Base = unsafe.SliceData(data)
	v.SetLen(len(data))
	*vector++
}

// setControl writes the control messages of header n, which begins with m.
func (s *senderSystem) setControl(n int, m *outgoing) {
	room := s.controls[n].bytes()
	length := 0
	if s.engine.packetInfo && m.local.IsValid() {
		length = appendLocal(room[:], m.local, s.engine.ipv6)
	}
	if s.segments[n] > 1 {
		length += appendSegment(room[length:], uint16(len(m.data))) // #nosec G115 -- at most a datagram's
	}
	header := &s.headers[n].header
	header.Control = nil
	if length > 0 {
		header.Control = &room[0]
	}
	header.SetControllen(length)
}

// sendAll sends the first n headers. It returns false when the kernel takes no
// more, and a message when everything from there on has to be built anew.
func (s *senderSystem) sendAll(fd uintptr, n int) (again int32, ok bool) {
	retried := false
	for at := 0; at < n; {
		done, errno := s.call(fd, at, n)
		if errno == 0 {
			for range done {
				s.sent += int(s.segments[at])
				at++
			}
			retried = false
			continue
		}
		switch {
		case errno == unix.EINTR:
		case errno == unix.EAGAIN, errno == unix.EBADF:
			return none, false
		case s.segments[at] > 1 && s.refuseSegments(at, errno):
			return s.first[at], true
		case !retried && errno != unix.EMSGSIZE:
			// An ICMP message about an earlier datagram is reported once and
			// has nothing to do with this one.
			retried = true
		default:
			at++
			retried = false
		}
	}
	return none, true
}

// refuseSegments makes the engine send less by segmentation offload after it
// failed for header at. It returns false when the error has another cause.
func (s *senderSystem) refuseSegments(at int, errno syscall.Errno) bool {
	switch errno {
	case unix.EINVAL, unix.EMSGSIZE:
		// Longer than the path's packets: datagrams of this length need to be
		// fragmented, which segmentation does not do.
		size := int32(len(s.sender.messages[s.first[at]].data)) // #nosec G115 -- at most a datagram's
		s.engine.segmentLimit.Store(min(s.engine.segmentLimit.Load(), size-1))
		return true
	case unix.EIO, unix.EOPNOTSUPP, unix.ENOPROTOOPT:
		// The device cannot compute checksums, or encrypts (udp(7)).
		s.engine.segmentLimit.Store(0)
		return true
	}
	return false
}

// call gives the headers from at to n to the kernel and returns how many it took.
func (s *senderSystem) call(fd uintptr, at, n int) (done int, errno syscall.Errno) {
	const flags = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	header := &s.headers[at].header
	if n-at > 1 {
		r, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&s.headers[at])), uintptr(n-at), flags, 0, 0)
		return int(r), errno
	}
	if header.Control != nil || s.segments[at] > 1 {
		_, _, errno = unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(header)), flags)
		return 1, errno
	}
	// The plain case of one datagram, with the least for the kernel to read.
	var name unsafe.Pointer
	if header.Namelen > 0 {
		name = unsafe.Pointer(header.Name)
	}
	_, _, errno = unix.Syscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(header.Iov.Base)),
		uintptr(header.Iov.Len), flags, uintptr(name), uintptr(header.Namelen))
	return 1, errno
}
