//go:build !linux

package tcpio

import (
	"errors"
	"fmt"
	"time"
)

// request is what a call to the kernel needs: nothing.
type request struct{}

func (*request) init() {}

// Queued returns how many bytes were written and not acknowledged by the peer.
func (s *Socket) Queued() (bytes int, ok bool) { return 0, false }

// Unsent returns how many bytes were written and not sent yet.
func (s *Socket) Unsent() (bytes int, ok bool) { return 0, false }

// Info returns the kernel's view of the connection.
func (s *Socket) Info() (Info, bool) { return Info{}, false }

// SetNotSentLowat sets how many unsent bytes make the socket not writable.
func (s *Socket) SetNotSentLowat(bytes int) error { return unsupported("TCP_NOTSENT_LOWAT") }

// SetCongestion chooses the congestion control by name.
func (s *Socket) SetCongestion(name string) error { return unsupported("TCP_CONGESTION") }

// SetPacingRate bounds the rate of sending.
func (s *Socket) SetPacingRate(bytesPerSecond uint64) error {
	return unsupported("SO_MAX_PACING_RATE")
}

// SetMinRTO lowers the least retransmission timeout.
func (s *Socket) SetMinRTO(d time.Duration) error { return unsupported("TCP_RTO_MIN_US") }

// SetMaxRTO bounds the retransmission timeout.
func (s *Socket) SetMaxRTO(d time.Duration) error { return unsupported("TCP_RTO_MAX_MS") }

// SetUserTimeout bounds how long written data may stay unacknowledged.
func (s *Socket) SetUserTimeout(d time.Duration) error { return unsupported("TCP_USER_TIMEOUT") }

func unsupported(option string) error {
	return fmt.Errorf("set %s: %w", option, errors.ErrUnsupported)
}
