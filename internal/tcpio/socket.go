package tcpio

import (
	"net"
	"sync"
	"syscall"
	"time"
)

// Socket asks the kernel about one TCP connection. It does not keep the
// connection open: after its end, questions report false and settings fail. All
// methods may be called at the same time, also on a nil Socket, which knows
// nothing. On systems other than Linux every question reports false and every
// setting fails with an error that is errors.ErrUnsupported.
//
// The questions do not allocate memory.
type Socket struct {
	mu      sync.Mutex
	raw     syscall.RawConn // nil when the connection is not TCP
	request request         // guarded by mu
}

// NewSocket returns the Socket of c. It looks through wrappers that have a method
// NetConn() net.Conn. When c is not TCP the Socket knows nothing.
func NewSocket(c net.Conn) *Socket {
	s := &Socket{}
	if connection, ok := innermost(c).(*net.TCPConn); ok {
		if raw, err := connection.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	s.request.init()
	return s
}

// Info is the kernel's view of a TCP connection (struct tcp_info of linux/tcp.h).
// Fields that the running kernel does not know are zero.
type Info struct {
	// Congestion is the state of congestion control.
	Congestion CongestionState
	// Backoff is the number of times the retransmission timeout was doubled for
	// the oldest segment; it is zero while the path delivers.
	Backoff int

	// SRTT and RTTVar are the smoothed round-trip time and its variation, with
	// the delays of acknowledgements in it. MinRTT is the shortest that was seen
	// in the kernel's window (5 minutes by default), or zero.
	SRTT, RTTVar, MinRTT time.Duration
	// RTO is the current retransmission timeout.
	RTO time.Duration

	// Unacked, Sacked, Lost and Retrans count segments in flight: all of them,
	// those acknowledged out of order, those believed lost, and those sent again
	// and not acknowledged yet.
	Unacked, Sacked, Lost, Retrans int
	// TotalRetrans is the number of segments sent again since the beginning, and
	// SegsOut and SegsIn the number of all segments, empty ones included.
	TotalRetrans, SegsOut, SegsIn uint32
	// DataSegsOut and DataSegsIn count segments that carry data.
	DataSegsOut, DataSegsIn uint32
	// DSACKDups is the number of segments that were sent again for nothing.
	DSACKDups uint32
	// Delivered is the number of data segments that arrived at the peer, those
	// sent again included.
	Delivered uint32

	// BytesSent and BytesRetrans count payload bytes, the former with the latter
	// in it; BytesAcked and BytesReceived count each byte once.
	BytesSent, BytesRetrans, BytesAcked, BytesReceived uint64

	// SndCwnd is the congestion window and SndSSThresh the slow-start threshold,
	// in segments of SndMSS bytes.
	SndCwnd, SndSSThresh, SndMSS int
	// SndWnd is the window that the peer offers, in bytes.
	SndWnd int
	// NotsentBytes is what was written and not sent yet.
	NotsentBytes int

	// DeliveryRate is the recent rate at which data arrived at the peer, and
	// PacingRate the rate at which the kernel sends at most, in bytes per second.
	// AppLimited says that DeliveryRate was limited by the program, which did not
	// write enough, and not by the path.
	DeliveryRate, PacingRate uint64
	AppLimited               bool

	// LastDataSent, LastDataRecv and LastAckRecv tell how long ago that was.
	LastDataSent, LastDataRecv, LastAckRecv time.Duration
	// BusyTime is how long there was data to send; RwndLimited and SndbufLimited
	// how long of it the peer's window and the send buffer held it back.
	BusyTime, RwndLimited, SndbufLimited time.Duration
}

// Held is how many bytes were written and not acknowledged by the peer, sent or
// not: what [Socket.Queued] tells, as of this Info and less one at the side that
// connected, whose SYN counts as a byte acknowledged.
func (i Info) Held() int {
	return max(0, int(int64(i.BytesSent-i.BytesRetrans-i.BytesAcked))+i.NotsentBytes) // #nosec G115 -- a difference that may be below 0
}

// CongestionState is a state of the kernel's congestion control (enum tcp_ca_state
// of linux/tcp.h).
type CongestionState uint8

const (
	CongestionOpen     CongestionState = 0 // nothing unusual
	CongestionDisorder CongestionState = 1 // acknowledgements out of order, loss is possible
	CongestionCWR      CongestionState = 2 // slowed down by a mark, not by loss
	CongestionRecovery CongestionState = 3 // sending lost segments again
	CongestionLoss     CongestionState = 4 // after a retransmission timeout
)

// String returns the name of the state.
func (s CongestionState) String() string {
	switch s {
	case CongestionOpen:
		return "open"
	case CongestionDisorder:
		return "disorder"
	case CongestionCWR:
		return "cwr"
	case CongestionRecovery:
		return "recovery"
	case CongestionLoss:
		return "loss"
	}
	return "unknown"
}
