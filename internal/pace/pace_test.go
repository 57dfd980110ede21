package pace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/tcpio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSocket is a connection whose transfer fills a line.
type fakeSocket struct {
	mu         sync.Mutex
	line       *line
	gone       bool
	fixed      bool // can't be held to a rate
	congestion string
	rates      []uint64
	acked      float64
	asked      time.Time
}

func (s *fakeSocket) Info() (tcpio.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return tcpio.Info{}, false
	}
	step := time.Since(s.asked)
	s.asked = time.Now()
	arrived, queue := s.line.run(s.rate(), step)
	s.acked += arrived * step.Seconds()
	return tcpio.Info{SRTT: s.line.floor + queue, MinRTT: s.line.floor, BytesAcked: uint64(s.acked)}, true
}

// rate is the bound in force, 0 for none.
func (s *fakeSocket) rate() float64 {
	if n := len(s.rates); n > 0 && s.rates[n-1] != unlimited {
		return float64(s.rates[n-1])
	}
	return 0
}

func (s *fakeSocket) SetPacingRate(rate uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fixed {
		return errors.ErrUnsupported
	}
	s.rates = append(s.rates, rate)
	return nil
}

func (s *fakeSocket) SetNotSentLowat(int) error { return errors.ErrUnsupported }

func (s *fakeSocket) SetCongestion(name string) error {
	s.congestion = name
	return errors.ErrUnsupported
}

func newFakeSocket() *fakeSocket {
	return &fakeSocket{
		line:  &line{capacity: 2.5e6, longest: 100 * time.Millisecond, floor: 40 * time.Millisecond},
		asked: time.Now(),
	}
}

func TestGovernorHoldsAndReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket := newFakeSocket()
		var playing atomic.Bool
		playing.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			New(Config{Socket: socket, Playing: playing.Load, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, congestion, socket.congestion)
		require.NotZero(t, socket.rate())
		require.Less(t, socket.line.wait(), 2*queueHigh)
		playing.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Zero(t, socket.rate())
		cancel()
		<-done
	})
}

func TestGovernorEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket := newFakeSocket()
		socket.gone = true
		New(Config{Socket: socket, Playing: func() bool { return true }, Log: slog.New(slog.DiscardHandler)}).Run(t.Context())
		require.Empty(t, socket.rates)
	})
}

func TestFixedRate(t *testing.T) {
	socket := newFakeSocket()
	limited := uint64(0)
	config := Config{Socket: socket, Rate: 1000, Limit: func(rate uint64) { limited = rate }, Log: slog.New(slog.DiscardHandler)}
	New(config).Run(t.Context())
	require.Equal(t, []uint64{1000}, socket.rates)
	require.Zero(t, limited)
	socket.fixed = true
	New(config).Run(t.Context())
	require.Equal(t, uint64(1000), limited)
}
