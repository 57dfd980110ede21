package resume

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// content is byte i of either direction, as long as both ends are honest.
func content(i int) byte { return byte(i ^ i>>8 ^ i>>16) }

func stretch(from, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = content(from + i)
	}
	return b
}

// fakeLocal is a local that a test writes the script of.
type fakeLocal struct {
	mu      sync.Mutex
	change  sync.Cond
	toRead  int   // bytes that Read will return, some day
	read    int   // bytes that it has
	readErr error // afterwards
	got     []byte
	ended   bool // by CloseWrite
	stuck   bool // Write doesn't return
	closed  bool
}

func newFakeLocal() *fakeLocal {
	l := &fakeLocal{}
	l.change.L = &l.mu
	return l
}

func (l *fakeLocal) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.change.Broadcast()
}

func (l *fakeLocal) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.read == l.toRead && l.readErr == nil && !l.closed {
		l.change.Wait()
	}
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	if l.read == l.toRead {
		return 0, l.readErr
	}
	n := copy(p, stretch(l.read, min(len(p), l.toRead-l.read)))
	l.read += n
	return n, nil
}

func (l *fakeLocal) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.stuck && !l.closed {
		l.change.Wait()
	}
	if l.closed {
		return 0, io.ErrClosedPipe
	}
	l.got = append(l.got, p...)
	l.change.Broadcast()
	return len(p), nil
}

func (l *fakeLocal) CloseWrite() error { l.do(func() { l.ended = true }); return nil }
func (l *fakeLocal) Close() error      { l.do(func() { l.closed = true }); return nil }

// fakeChannel is a channel whose other end is the test.
type fakeChannel struct {
	ssh.Channel
	requests chan *ssh.Request

	mu     sync.Mutex
	change sync.Cond
	toRead []byte
	got    []byte
	asked  []ssh.Request // what was requested
	stuck  bool          // Write waits for the window
	closed bool
}

func newFakeChannel() *fakeChannel {
	c := &fakeChannel{requests: make(chan *ssh.Request, 16)}
	c.change.L = &c.mu
	return c
}

func (c *fakeChannel) do(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	c.change.Broadcast()
}

func (c *fakeChannel) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.toRead) == 0 && !c.closed {
		c.change.Wait()
	}
	if len(c.toRead) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.toRead)
	c.toRead = c.toRead[n:]
	return n, nil
}

func (c *fakeChannel) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.stuck && !c.closed {
		c.change.Wait()
	}
	if c.closed {
		return 0, io.EOF
	}
	c.got = append(c.got, p...)
	c.change.Broadcast()
	return len(p), nil
}

func (c *fakeChannel) SendRequest(name string, wantReply bool, payload []byte) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, io.EOF
	}
	c.asked = append(c.asked, ssh.Request{Type: name, WantReply: wantReply, Payload: payload})
	c.change.Broadcast()
	return false, nil
}

// Close is answered at once.
func (c *fakeChannel) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.requests)
	}
	c.change.Broadcast()
	return nil
}

// says has the other end send a request.
func (c *fakeChannel) says(name string, payload []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.requests <- &ssh.Request{Type: name, Payload: payload}
	}
}

func (c *fakeChannel) acks(position uint64) {
	c.says(sshwire.RequestAck, ssh.Marshal(sshwire.Ack{Position: position}))
}

func (c *fakeChannel) ends(total uint64) {
	c.says(sshwire.RequestEnd, ssh.Marshal(sshwire.End{Total: total}))
}

// until waits for something to be so, of a fake whose lock and change it takes.
func until(t testing.TB, l sync.Locker, change *sync.Cond, is func() bool) {
	t.Helper()
	late := time.AfterFunc(patience, func() { panic("it never came to be") })
	defer late.Stop()
	l.Lock()
	defer l.Unlock()
	for !is() {
		change.Wait()
	}
}

// heard waits for a request, and returns the payload.
func (c *fakeChannel) heard(t testing.TB, name string) (payload []byte) {
	t.Helper()
	until(t, &c.mu, &c.change, func() bool {
		for _, request := range c.asked {
			if request.Type == name {
				payload = request.Payload
				return true
			}
		}
		return false
	})
	return payload
}

// scripted is a conn between fakes.
type scripted struct {
	*Conn
	t      *testing.T
	local  *fakeLocal
	result chan result
	cancel context.CancelFunc
}

func newScripted(t *testing.T, options Options) *scripted {
	ctx, cancel := context.WithCancel(t.Context())
	local := newFakeLocal()
	s := &scripted{New(local, options), t, local, make(chan result, 1), cancel}
	go func() {
		stats, err := s.Run(ctx)
		s.result <- result{stats, err}
	}()
	return s
}

func (s *scripted) open() *fakeChannel {
	c := newFakeChannel()
	s.Open(c, c.requests)
	return c
}

// end waits for Run to return.
func (s *scripted) end() error {
	s.t.Helper()
	defer s.cancel()
	select {
	case r := <-s.result:
		return r.err
	case <-time.After(patience):
		require.Fail(s.t, "Run did not return")
		return nil
	}
}

func TestPeerThatBreaksTheProtocolResets(t *testing.T) {
	for name, misdeed := range map[string]func(s *scripted, c *fakeChannel){
		"ack beyond what was sent": func(s *scripted, c *fakeChannel) { c.acks(101) },
		"ack of an end that there isn't": func(s *scripted, c *fakeChannel) {
			s.local.do(func() { s.local.toRead = 200 })
			until(s.t, &c.mu, &c.change, func() bool { return len(c.got) == 200 })
			c.acks(201)
		},
		"ack that goes back":     func(s *scripted, c *fakeChannel) { c.acks(100); c.acks(99) },
		"end before its bytes":   func(s *scripted, c *fakeChannel) { c.ends(9) },
		"two ends":               func(s *scripted, c *fakeChannel) { c.ends(11); c.ends(12) },
		"ack that can't be read": func(s *scripted, c *fakeChannel) { c.says(sshwire.RequestAck, []byte{1}) },
		"end that can't be read": func(s *scripted, c *fakeChannel) { c.says(sshwire.RequestEnd, nil) },
		"reset with a payload":   func(s *scripted, c *fakeChannel) { c.says(sshwire.RequestReset, []byte{1}) },
		"bytes behind the end": func(s *scripted, c *fakeChannel) {
			c.ends(10)
			c.heard(s.t, sshwire.RequestAck)
			c.do(func() { c.toRead = []byte("x") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t, Options{})
			c := s.open()
			s.local.do(func() { s.local.toRead = 100 })
			until(t, &c.mu, &c.change, func() bool { return len(c.got) == 100 })
			c.do(func() { c.toRead = stretch(0, 10) })
			until(t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) == 10 })
			misdeed(s, c)
			require.ErrorIs(t, s.end(), ErrProtocol)
			c.heard(t, sshwire.RequestReset)
			require.True(t, s.local.closed)
		})
	}
}

func TestResumptionGoesOnWhereTheOtherEndIs(t *testing.T) {
	s := newScripted(t, Options{})
	first := s.open()
	s.local.do(func() { s.local.toRead = 100_000 })
	until(t, &first.mu, &first.change, func() bool { return len(first.got) == 100_000 })
	first.Close()
	received := s.Detach()
	require.Zero(t, received)
	s.local.do(func() { s.local.toRead, s.local.readErr = 150_000, io.EOF })

	second := newFakeChannel()
	s.Resume(second, second.requests, received)
	second.acks(77_777)
	second.heard(t, sshwire.RequestEnd)
	require.Equal(t, stretch(77_777, 150_000-77_777), second.got)
	second.acks(150_001)

	// The other direction ends on a channel that is lost before the ack of it.
	second.do(func() { second.toRead = stretch(0, 50) })
	second.ends(50)
	require.Equal(t, ssh.Marshal(sshwire.Ack{Position: 51}), second.heard(t, sshwire.RequestAck))
	require.NoError(t, s.end())
	require.Equal(t, stretch(0, 50), s.local.got)
	require.True(t, s.local.ended)
}

func TestAnswerBeginsWithAnAck(t *testing.T) {
	s := newScripted(t, Options{})
	first := s.open()
	first.do(func() { first.toRead = stretch(0, 1000) })
	until(t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) == 1000 })
	s.local.do(func() { s.local.toRead = 10 })
	until(t, &first.mu, &first.change, func() bool { return len(first.got) == 10 })
	// The first one isn't known to be lost.
	second := newFakeChannel()
	released := s.Answer(second, second.requests, 4)
	require.Equal(t, ssh.Marshal(sshwire.Ack{Position: 1000}), second.heard(t, sshwire.RequestAck))
	until(t, &second.mu, &second.change, func() bool { return len(second.got) == 6 })
	require.Equal(t, stretch(4, 6), second.got)

	// A channel from the past changes nothing.
	third := newFakeChannel()
	<-s.Answer(third, third.requests, 3)
	second.acks(10)
	second.says(sshwire.RequestReset, nil)
	require.ErrorIs(t, s.end(), ErrReset)
	<-released
	for _, request := range third.asked {
		require.NotEqual(t, sshwire.RequestReset, request.Type)
	}
}

func TestResetWithoutChannelIsToldOnTheNext(t *testing.T) {
	s := newScripted(t, Options{})
	s.open().Close()
	received := s.Detach()
	s.local.do(func() { s.local.readErr = io.ErrUnexpectedEOF })
	until(t, &s.local.mu, &s.local.change, func() bool { return s.local.closed })
	next := newFakeChannel()
	<-s.Resume(next, next.requests, received)
	next.heard(t, sshwire.RequestReset)
	require.ErrorIs(t, s.end(), io.ErrUnexpectedEOF)
}

func TestConnThatStaysAloneIsReset(t *testing.T) {
	s := newScripted(t, Options{Patience: time.Millisecond})
	s.open().Close()
	require.ErrorIs(t, s.end(), ErrAway)
}

func TestGone(t *testing.T) {
	s := newScripted(t, Options{})
	s.open().Close()
	s.Detach()
	s.Gone()
	require.ErrorIs(t, s.end(), ErrGone)

	// The other end has said its end and knows ours: it has finished.
	s = newScripted(t, Options{})
	c := s.open()
	s.local.do(func() { s.local.readErr = io.EOF })
	c.heard(t, sshwire.RequestEnd)
	c.ends(0)
	c.heard(t, sshwire.RequestAck)
	c.Close()
	require.Equal(t, uint64(1), s.Detach())
	s.Gone()
	require.NoError(t, s.end())
}

// TestWindowFullBothWays: neither acks nor reading depend on our writing.
func TestWindowFullBothWays(t *testing.T) {
	s := newScripted(t, Options{Buffer: 1 << 20})
	c := s.open()
	c.do(func() { c.stuck = true })
	s.local.do(func() { s.local.toRead = 4 << 20 })
	for i := range 8 {
		c.do(func() { c.toRead = append(c.toRead, stretch(i*ackEvery, ackEvery)...) })
		until(t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) == (i+1)*ackEvery })
		until(t, &c.mu, &c.change, func() bool { return len(c.asked) > i/2 })
	}
	c.do(func() { c.stuck = false })
	until(t, &c.mu, &c.change, func() bool { return len(c.got) >= 1<<20 })
	s.local.mu.Lock()
	require.Less(t, s.local.read, 1<<20+2*largeChunk, "read beyond the bound")
	s.local.mu.Unlock()
	s.cancel()
	require.ErrorIs(t, s.end(), context.Canceled)
}
