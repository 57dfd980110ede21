package tcpio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// request holds the arguments and results of one call to the kernel, and functions
// made once, so that asking allocates nothing.
type request struct {
	command uintptr
	value   int32 // what SIOCOUTQ and SIOCOUTQNSD write: an int of C
	info    unix.TCPInfo
	length  uint32
	errno   syscall.Errno

	ioctl   func(fd uintptr)
	getInfo func(fd uintptr)
}

func (r *request) init() {
	r.ioctl = func(fd uintptr) {
		_, _, r.errno = unix.Syscall(unix.SYS_IOCTL, fd, r.command, uintptr(unsafe.Pointer(&r.value)))
	}
	r.getInfo = func(fd uintptr) {
		r.length = uint32(unsafe.Sizeof(r.info))
		_, _, r.errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO,
			uintptr(unsafe.Pointer(&r.info)), uintptr(unsafe.Pointer(&r.length)), 0)
	}
}

// Queued returns how many bytes were written and not acknowledged by the peer,
// sent or not (SIOCOUTQ of tcp(7)).
func (s *Socket) Queued() (bytes int, ok bool) { return s.queue(unix.SIOCOUTQ) }

// Unsent returns how many bytes were written and not sent yet (SIOCOUTQNSD).
func (s *Socket) Unsent() (bytes int, ok bool) { return s.queue(unix.SIOCOUTQNSD) }

func (s *Socket) queue(command uintptr) (bytes int, ok bool) {
	if s == nil || s.raw == nil {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request.command = command
	if s.raw.Control(s.request.ioctl) != nil || s.request.errno != 0 {
		return 0, false
	}
	return int(s.request.value), true
}

// Info returns the kernel's view of the connection (TCP_INFO of tcp(7)).
func (s *Socket) Info() (Info, bool) {
	if s == nil || s.raw == nil {
		return Info{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request.info = unix.TCPInfo{} // an older kernel fills only the beginning
	if s.raw.Control(s.request.getInfo) != nil || s.request.errno != 0 {
		return Info{}, false
	}
	return infoOf(&s.request.info), true
}

// noMinRTT is what tcp_info tells before the first measurement, in microseconds.
const noMinRTT = ^uint32(0)

func infoOf(k *unix.TCPInfo) Info {
	micro := func(n uint32) time.Duration { return time.Duration(n) * time.Microsecond }
	micro64 := func(n uint64) time.Duration { return time.Duration(n) * time.Microsecond } // #nosec G115 -- the kernel counts since the connection began
	milli := func(n uint32) time.Duration { return time.Duration(n) * time.Millisecond }
	info := Info{
		Congestion: CongestionState(k.Ca_state),
		Backoff:    int(k.Backoff),
		SRTT:       micro(k.Rtt),
		RTTVar:     micro(k.Rttvar),
		MinRTT:     micro(k.Min_rtt),
		RTO:        micro(k.Rto),

		Unacked:      int(k.Unacked),
		Sacked:       int(k.Sacked),
		Lost:         int(k.Lost),
		Retrans:      int(k.Retrans),
		TotalRetrans: k.Total_retrans,
		SegsOut:      k.Segs_out,
		SegsIn:       k.Segs_in,
		DataSegsOut:  k.Data_segs_out,
		DataSegsIn:   k.Data_segs_in,
		DSACKDups:    k.Dsack_dups,
		Delivered:    k.Delivered,

		BytesSent:     k.Bytes_sent,
		BytesRetrans:  k.Bytes_retrans,
		BytesAcked:    k.Bytes_acked,
		BytesReceived: k.Bytes_received,

		SndCwnd:      int(k.Snd_cwnd),
		SndSSThresh:  int(k.Snd_ssthresh),
		SndMSS:       int(k.Snd_mss),
		SndWnd:       int(k.Snd_wnd),
		NotsentBytes: int(k.Notsent_bytes),

		DeliveryRate: k.Delivery_rate,
		PacingRate:   k.Pacing_rate,
		AppLimited:   appLimited(k),

		LastDataSent:  milli(k.Last_data_sent),
		LastDataRecv:  milli(k.Last_data_recv),
		LastAckRecv:   milli(k.Last_ack_recv),
		BusyTime:      micro64(k.Busy_time),
		RwndLimited:   micro64(k.Rwnd_limited),
		SndbufLimited: micro64(k.Sndbuf_limited),
	}
	if k.Min_rtt == noMinRTT {
		info.MinRTT = 0
	}
	return info
}

// appLimited reads the bit tcpi_delivery_rate_app_limited. C packs it into the
// first bit of the second byte after Options, a byte to which package unix gives
// no name; which bit is the first depends on the byte order.
func appLimited(k *unix.TCPInfo) bool {
	const offset = unsafe.Offsetof(k.Options) + 2
	flags := *(*byte)(unsafe.Add(unsafe.Pointer(k), offset))
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return flags&0x01 != 0
	}
	return flags&0x80 != 0
}

// SetNotSentLowat makes the socket writable only while fewer than bytes bytes wait
// to be sent for the first time (TCP_NOTSENT_LOWAT), so that what can still be
// dropped or overtaken stays with the program.
func (s *Socket) SetNotSentLowat(bytes int) error {
	return s.set("TCP_NOTSENT_LOWAT", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, bytes)
	})
}

// SetCongestion chooses the congestion control, such as "bbr" or "cubic"
// (TCP_CONGESTION). It fails when the kernel does not have it loaded, or does not
// allow it to this user.
func (s *Socket) SetCongestion(name string) error {
	return s.set("TCP_CONGESTION", func(fd int) error {
		return unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
	})
}

// SetPacingRate makes the kernel spread segments in time so that it sends at most
// bytesPerSecond (SO_MAX_PACING_RATE). The greatest uint64 means no bound.
func (s *Socket) SetPacingRate(bytesPerSecond uint64) error {
	return s.set("SO_MAX_PACING_RATE", func(fd int) error {
		return unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, bytesPerSecond)
	})
}

// SetMinRTO lowers the least variation of the round-trip time that the kernel
// reckons with, and so how long after a round trip it sends lost data again for
// want of any sign of it (TCP_RTO_MIN_US, since Linux 6.15; 200 ms by default).
func (s *Socket) SetMinRTO(d time.Duration) error {
	return s.set("TCP_RTO_MIN_US", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MIN_US, int(d.Microseconds()))
	})
}

// SetMaxRTO bounds the time between two tries of the kernel to get lost data
// through (TCP_RTO_MAX_MS, since Linux 6.15; 2 minutes by default, 1 s at least).
func (s *Socket) SetMaxRTO(d time.Duration) error {
	return s.set("TCP_RTO_MAX_MS", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_RTO_MAX_MS, int(d.Milliseconds()))
	})
}

// SetUserTimeout makes the kernel give the connection up when written data stays
// unacknowledged for d, rounded up to milliseconds (TCP_USER_TIMEOUT). Zero means
// the system's default.
func (s *Socket) SetUserTimeout(d time.Duration) error {
	milliseconds := int((d + time.Millisecond - 1) / time.Millisecond)
	return s.set("TCP_USER_TIMEOUT", func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds)
	})
}

// set runs call, which sets the named option.
func (s *Socket) set(option string, call func(fd int) error) error {
	if s == nil || s.raw == nil {
		return fmt.Errorf("set %s: %w: not a TCP connection", option, errors.ErrUnsupported)
	}
	var err error
	if controlErr := s.raw.Control(func(fd uintptr) { err = call(int(fd)) }); controlErr != nil {
		err = controlErr
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", option, os.NewSyscallError("setsockopt", err))
	}
	return nil
}
