//go:build linux

package chaos

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// plan is what a stream sends to the echo server.
type plan struct {
	chunk int           // bytes written at once
	pause time.Duration // between two writes
	total uint64        // bytes after which it ends its side; 0 for none
}

// chat is what a person types, and a game sends.
var chat = plan{chunk: 64, pause: 50 * time.Millisecond}

// stream is a TCP connection to the echo server. Each of its bytes follows from
// its place, so that one that is changed, lost, or there twice is seen.
type stream struct {
	progress
	id   uint64
	conn *net.TCPConn
	plan plan
}

// fill writes the bytes from place on.
func (s *stream) fill(b []byte, place uint64) {
	for i := range b {
		at := place + uint64(i)
		// The finalizer of SplitMix64, for each eight bytes.
		z := s.id<<40 ^ at/8
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		var word [8]byte
		binary.BigEndian.PutUint64(word[:], z)
		b[i] = word[at%8]
	}
}

// corrupt is an error of what came back, not of the connection.
type corrupt struct{ text string }

func (e *corrupt) Error() string { return e.text }

// errShort is an orderly end ahead of time.
var errShort = errors.New("ended in good order, but too early")

// run sends and checks until ctx ends or all is sent, ends its side, and checks
// what is still to come and that the end follows.
func (s *stream) run(ctx context.Context) error {
	defer s.conn.Close()
	var write error
	var tasks sync.WaitGroup
	tasks.Go(func() { write = s.write(ctx) })
	read := s.read()
	if read != nil {
		s.conn.Close() // the writer sees it
	}
	tasks.Wait()
	if read == nil && write == nil && s.answered != s.sent {
		read = fmt.Errorf("%w, after %d of %d bytes", errShort, s.answered, s.sent)
	}
	// A reset is seen by both; the reader may know more.
	err := read
	if err == nil {
		err = write
	}
	ended := err
	if ended == nil {
		ended = io.EOF
	}
	s.fail(ended)
	return err
}

func (s *stream) write(ctx context.Context) error {
	// What comes back is due by then.
	defer func() { _ = s.conn.SetReadDeadline(time.Now().Add(patience)) }()
	b := make([]byte, s.plan.chunk)
	for {
		n := uint64(len(b))
		if s.plan.total > 0 {
			n = min(n, s.plan.total-s.sent)
		}
		s.fill(b[:n], s.send(n))
		if _, err := s.conn.Write(b[:n]); err != nil {
			return err
		}
		if s.plan.total > 0 && s.sent == s.plan.total {
			return s.conn.CloseWrite()
		}
		select {
		case <-time.After(s.plan.pause):
		case <-ctx.Done():
			return s.conn.CloseWrite()
		}
	}
}

func (s *stream) read() error {
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	for place := uint64(0); ; {
		n, err := s.conn.Read(got)
		s.fill(want[:n], place)
		for i := range n {
			if got[i] != want[i] {
				return &corrupt{fmt.Sprintf("byte %d is %02x instead of %02x", place+uint64(i), got[i], want[i])}
			}
		}
		place += uint64(n)
		if n > 0 {
			s.answer(place)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// openStream connects a player to the echo server.
func (w *world) openStream(ctx context.Context, id uint64, p plan) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := w.three.Player.DialContext(ctx, "tcp4", w.public(echoPort))
	if err != nil {
		return nil, err
	}
	return &stream{progress: progress{name: fmt.Sprintf("stream %d", id), world: w}, id: id, conn: conn.(*net.TCPConn), plan: p}, nil
}

// takesClients reports whether the public port takes a connection now.
func (w *world) takesClients() bool {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	conn, err := w.three.Player.DialContext(ctx, "tcp4", w.public(echoPort))
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// startStream keeps a stream going until finish, which wants all to have come
// back, or the test's end.
func (w *world) startStream(id uint64, p plan) (s *stream, finish func()) {
	w.t.Helper()
	s, err := w.openStream(w.t.Context(), id, p)
	require.NoError(w.t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx) }()
	var result error
	end := sync.OnceFunc(func() {
		stop()
		result = <-ended
	})
	w.t.Cleanup(func() {
		s.conn.Close()
		end()
	})
	return s, func() {
		w.t.Helper()
		end()
		require.NoError(w.t, result, s.name)
	}
}
