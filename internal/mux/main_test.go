package mux

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come before it fails.
const patience = 20 * time.Second

// The streams of smux's own client.
const (
	controlStream = 3
	recordStream  = 5
)

func frameOf(command byte, stream uint32, payload ...byte) []byte {
	b := make([]byte, frameHeader, frameHeader+len(payload))
	putFrame(b, frame{command: command, length: len(payload), stream: stream})
	return append(b, payload...)
}

func updateOf(stream, consumed, window uint32) []byte {
	payload := binary.LittleEndian.AppendUint32(nil, consumed)
	return frameOf(commandUpdate, stream, binary.LittleEndian.AppendUint32(payload, window)...)
}

// opening is how an agent begins, 34 bytes.
func opening() []byte {
	return bytes.Join([][]byte{
		frameOf(commandOpen, controlStream),
		frameOf(commandPush, controlStream, byte(proto.KindControl)),
		frameOf(commandOpen, recordStream),
		frameOf(commandPush, recordStream, byte(proto.KindRecords)),
	}, nil)
}

// tape is a channel whose peer says what was recorded and ends. It begins when
// so many bytes were written to it.
type tape struct {
	mu      sync.Mutex
	turn    sync.Cond
	rest    []byte // guarded by mu, as all below
	piece   int    // the most that one Read gives, 0 for all
	after   int    // how many bytes to wait for
	written bytes.Buffer
	closed  bool
}

func newTape(said []byte, piece, after int) *tape {
	t := &tape{rest: said, piece: piece, after: after}
	t.turn.L = &t.mu
	return t
}

func (t *tape) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.written.Len() < t.after && !t.closed {
		t.turn.Wait()
	}
	if t.closed || len(t.rest) == 0 {
		return 0, io.EOF
	}
	if t.piece > 0 {
		p = p[:min(len(p), t.piece)]
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return 0, io.ErrClosedPipe
	}
	t.written.Write(p)
	t.turn.Broadcast()
	return len(p), nil
}

func (t *tape) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.turn.Broadcast()
	return nil
}

// heard is what a Mux made of a tape.
type heard struct {
	control, records []byte
	err              error // that ended it
}

// listen starts the relay's or the agent's end on a tape and listens until the
// end.
func listen(t testing.TB, start func(io.ReadWriteCloser, Receive) (*Mux, error), channel io.ReadWriteCloser) heard {
	t.Helper()
	var h heard
	done := make(chan struct{})
	go func() {
		defer close(done)
		var mu sync.Mutex // the reading goroutine may outlive Close for a moment
		var records []byte
		m, err := start(channel, func(p []byte) error {
			mu.Lock()
			defer mu.Unlock()
			records = append(records, p...)
			return nil
		})
		if err != nil {
			h.err = err
			return
		}
		h.control, err = io.ReadAll(m.Control())
		if err == nil {
			err = io.EOF
		}
		h.err = m.Cause(err)
		_ = m.Close()
		mu.Lock()
		defer mu.Unlock()
		h.records = records
	}()
	select {
	case <-done:
	case <-time.After(patience):
		require.Fail(t, "the tape is over and nobody noticed")
	}
	return h
}

// pair is the two ends of a lane over a pipe.
type pair struct{ relay, agent *Mux }

func newPair(t testing.TB, near, far io.ReadWriteCloser, toRelay, toAgent Receive) pair {
	t.Helper()
	var p pair
	opened := make(chan error, 1)
	go func() {
		var err error
		p.agent, err = Open(far, toAgent)
		opened <- err
	}()
	relay, err := Accept(near, toRelay)
	require.NoError(t, err)
	require.NoError(t, <-opened)
	p.relay = relay
	t.Cleanup(func() { _ = p.relay.Close(); _ = p.agent.Close() })
	return p
}

// awaitRoom waits until at least n bytes may be sent.
func awaitRoom(t testing.TB, m *Mux, n int) {
	t.Helper()
	grown := make(chan struct{}, 1)
	m.OnRoom(func() {
		select {
		case grown <- struct{}{}:
		default:
		}
	})
	deadline := time.After(patience)
	for m.Room() < n {
		select {
		case <-grown:
		case <-deadline:
			require.Fail(t, "no room came")
		}
	}
}

// send writes all of b, in frames of at most size bytes, as the window allows.
func send(t testing.TB, m *Mux, b []byte, size int) {
	t.Helper()
	buffer := make([]byte, FrameSpace, FrameSpace+MaxFrame)
	for len(b) > 0 {
		n := min(len(b), size)
		awaitRoom(t, m, n)
		require.NoError(t, m.WriteFrame(append(buffer[:FrameSpace], b[:n]...)))
		b = b[n:]
	}
}

// sink collects records until there are as many bytes as expected.
type sink struct {
	mu   sync.Mutex
	got  []byte
	want int
	full chan struct{}
}

func newSink(want int) *sink { return &sink{want: want, full: make(chan struct{})} }

func (s *sink) receive(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.got)
	s.got = append(s.got, p...)
	if before < s.want && len(s.got) >= s.want {
		close(s.full)
	}
	return nil
}

func (s *sink) await(t testing.TB) []byte {
	t.Helper()
	select {
	case <-s.full:
	case <-time.After(patience):
		require.Fail(t, "not all records came")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

// text is n bytes, none of which looks like the one 251 before.
func text(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i%251) ^ byte(i>>16)
	}
	return b
}

// recorder is a channel that keeps what was written to it.
type recorder struct {
	net.Conn
	mu      sync.Mutex
	written bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	r.written.Write(p)
	r.mu.Unlock()
	return r.Conn.Write(p)
}

func (r *recorder) said() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.written.Bytes())
}

// transcript is what relay and agent say in a lane's life, with the end of
// either stream.
func transcript(t testing.TB) (byRelay, byAgent []byte) {
	t.Helper()
	near, far := net.Pipe()
	relayEnd, agentEnd := &recorder{Conn: near}, &recorder{Conn: far}
	toRelay, toAgent := newSink(2000), newSink(300)
	p := newPair(t, relayEnd, agentEnd, toRelay.receive, toAgent.receive)
	var wait sync.WaitGroup
	wait.Go(func() {
		_, _ = p.agent.Control().Write(proto.AppendMessage(nil, proto.Bind{Forward: 1, Port: 27015}))
	})
	_, err := proto.ReadMessage(p.relay.Control())
	require.NoError(t, err)
	wait.Go(func() {
		_, _ = p.relay.Control().Write(proto.AppendMessage(nil, proto.Bound{Forward: 1, Port: 27015}))
	})
	_, err = proto.ReadMessage(p.agent.Control())
	require.NoError(t, err)
	send(t, p.agent, text(2000), MaxFrame)
	send(t, p.relay, text(300), 100)
	toRelay.await(t)
	toAgent.await(t)
	wait.Wait()
	require.NoError(t, p.agent.Close())
	require.NoError(t, p.relay.Close())
	return relayEnd.said(), agentEnd.said()
}
