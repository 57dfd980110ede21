package pace

import (
	"context"
	"errors"
	"log/slog"
	"net"
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
	lowat      int
	rates      []uint64
	acked      float64
	asked      time.Time
	looks      int
}

func (s *fakeSocket) Info() (tcpio.Info, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return tcpio.Info{}, false
	}
	s.looks++
	step := time.Since(s.asked)
	s.asked = time.Now()
	arrived, queue := s.line.run(s.rate(), step)
	s.acked += arrived * step.Seconds()
	return tcpio.Info{SRTT: s.line.floor + queue, MinRTT: s.line.floor, BytesAcked: uint64(s.acked)}, true
}

// state is the bound in force, 0 for none, the wait in the queue, and the bytes
// that may wait in the kernel.
func (s *fakeSocket) state() (rate float64, wait time.Duration, lowat int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rate(), s.line.wait(), s.lowat
}

// rate is the bound in force. The socket is locked.
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

func (s *fakeSocket) SetNotSentLowat(bytes int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lowat = bytes
	return errors.ErrUnsupported
}

// fakeTransport is the program's part of the connection, over which bytes move
// when it is written to.
type fakeTransport struct {
	*tcpio.Conn
	mu     sync.Mutex
	rate   uint64
	gather int
}

func newFakeTransport() *fakeTransport { return &fakeTransport{Conn: tcpio.NewConn(nowhere{})} }

// nowhere is a connection that takes everything.
type nowhere struct{ net.Conn }

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

func (f *fakeTransport) SetRate(rate uint64) { f.rate = rate }

func (f *fakeTransport) room() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gather
}

func (f *fakeTransport) SetGather(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gather = bytes
}

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
		socket, transport := newFakeSocket(), newFakeTransport()
		var playing atomic.Bool
		playing.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			New(Config{Socket: socket, Transport: transport, Playing: playing.Load, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		}()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		rate, wait, lowat := socket.state()
		require.NotZero(t, rate)
		require.Less(t, wait, 2*queueHigh)
		// 20 Mbit/s for 10 ms are 25,000 bytes, less than the least.
		require.Equal(t, roomLeast, lowat)
		require.Equal(t, roomLeast, transport.room())
		playing.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		rate, _, _ = socket.state()
		require.Zero(t, rate)
		cancel()
		<-done
		require.Equal(t, congestion, socket.congestion)
	})
}

func TestGovernorSleepsUntilATransferMayHaveBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket, transport := newFakeSocket(), newFakeTransport()
		looks := func() int {
			synctest.Wait()
			socket.mu.Lock()
			defer socket.mu.Unlock()
			return socket.looks
		}
		capacity := socket.line.capacity
		socket.line.capacity = 0 // nothing moves
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			New(Config{Socket: socket, Transport: transport, Playing: func() bool { return true }, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
		})
		time.Sleep(time.Second)
		before := looks()
		require.LessOrEqual(t, before, 2)
		move := func(n int) {
			_, err := transport.Write(make([]byte, n))
			require.NoError(t, err)
		}
		move(stirBytes - 1)
		time.Sleep(time.Hour)
		require.Equal(t, before, looks())

		move(1)
		require.Greater(t, looks(), before)
		socket.mu.Lock()
		socket.line.capacity = capacity
		socket.mu.Unlock()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		rate, _, _ := socket.state()
		require.NotZero(t, rate, "it is held back")
		cancel()
		running.Wait()
	})
}

func TestGovernorEndsWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		socket := newFakeSocket()
		socket.gone = true
		New(Config{Socket: socket, Transport: newFakeTransport(), Playing: func() bool { return true }, Log: slog.New(slog.DiscardHandler)}).Run(t.Context())
		require.Empty(t, socket.rates)
	})
}

func TestFixedRate(t *testing.T) {
	socket := newFakeSocket()
	transport := newFakeTransport()
	config := Config{Socket: socket, Transport: transport, Rate: 1000, Log: slog.New(slog.DiscardHandler)}
	New(config).Run(t.Context())
	require.Equal(t, []uint64{1000}, socket.rates)
	require.Zero(t, transport.rate)
	require.Equal(t, roomLeast, transport.room(), "conns beside a slow transfer don't wait for more")
	require.Equal(t, roomLeast, socket.lowat)
	socket.fixed = true
	New(config).Run(t.Context())
	require.EqualValues(t, 1000, transport.rate)
}
