package resume

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
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
	wide   bool   // bytes are to come in data requests
	inData int    // bytes that did
	wrong  string // what they came in, if it wasn't what it had to be

	begun, begunAt int // after how many bytes data requests began last, or -1, and the position that was told

	t testing.TB // of who waits for it
}

func newFakeChannel() *fakeChannel {
	c := &fakeChannel{requests: make(chan *ssh.Request, 16), begun: -1}
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
	c.takes(p, false)
	c.change.Broadcast()
	return len(p), nil
}

// takes takes bytes of local, which came in data requests or not.
func (c *fakeChannel) takes(p []byte, wide bool) {
	if wide != c.wide {
		c.wrong = fmt.Sprintf("%d bytes in data requests: %v", len(p), wide)
	}
	if wide {
		c.inData += len(p)
	}
	c.got = append(c.got, p...)
}

func (c *fakeChannel) SendRequest(name string, wantReply bool, payload []byte) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, io.EOF
	}
	switch name {
	case sshwire.RequestData:
		c.takes(payload, true)
	case sshwire.RequestWindowBegin:
		c.wide, c.begun = true, len(c.got)
		c.begunAt = int(binary.BigEndian.Uint64(payload))
	case sshwire.RequestWindowEnd:
		c.wide = false
	}
	c.asked = append(c.asked, ssh.Request{Type: name, WantReply: wantReply, Payload: slices.Clone(payload)})
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
