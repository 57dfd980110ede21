package resume

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

const (
	testNarrow = 64 << 10
	testWide   = sshwire.MinWindow
	testSpare  = 4 << 20
)

// wideOptions are those of a conn that may have wider windows.
func wideOptions() Options {
	return Options{Buffer: 2 * testNarrow, Spare: NewSpare(testSpare), windows: windows{narrow: testNarrow, wide: testWide, backlog: testNarrow / keepsUp}}
}

// asks, grants, begins, sends and stops are the other end's words.
func (c *fakeChannel) asks(position uint64) {
	c.says(sshwire.RequestWindowAsk, ssh.Marshal(sshwire.WindowAsk{Position: position}))
}

func (c *fakeChannel) grants(window uint32) {
	c.says(sshwire.RequestWindowGrant, ssh.Marshal(sshwire.WindowGrant{Window: window}))
}

func (c *fakeChannel) begins(position uint64) {
	c.says(sshwire.RequestWindowBegin, ssh.Marshal(sshwire.WindowBegin{Position: position}))
}

// sends sends bytes of the direction in data requests.
func (c *fakeChannel) sends(from, n int) {
	for ; n > sshwire.MaxData; from, n = from+sshwire.MaxData, n-sshwire.MaxData {
		c.says(sshwire.RequestData, stretch(from, sshwire.MaxData))
	}
	c.says(sshwire.RequestData, stretch(from, n))
}

func (c *fakeChannel) stops() { c.says(sshwire.RequestWindowEnd, nil) }

// has waits until the channel got so many bytes of local.
func (c *fakeChannel) has(t *testing.T, n int) {
	t.Helper()
	until(t, &c.mu, &c.change, func() bool { return len(c.got) >= n })
	c.do(func() {
		require.True(t, bytes.Equal(stretch(0, len(c.got)), c.got), "other bytes than local's")
		require.Empty(t, c.wrong)
	})
}

// hears waits until local got so many bytes of the other end.
func (s *scripted) hears(n int) {
	s.t.Helper()
	until(s.t, &s.local.mu, &s.local.change, func() bool { return len(s.local.got) >= n })
	s.local.do(func() { require.True(s.t, bytes.Equal(stretch(0, n), s.local.got), "other bytes than were sent") })
}

// eventually waits for something to be so, inside.
func (s *scripted) eventually(is func() bool) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return is()
	}, patience, time.Millisecond)
}

// finish ends both directions, whose lengths these are, in a clean way, and wants
// all memory to have been given back.
func (s *scripted) finish(c *fakeChannel, fromLocal, toLocal int) {
	s.t.Helper()
	c.ends(uint64(toLocal))
	s.local.do(func() { s.local.readErr = io.EOF })
	c.heard(s.t, sshwire.RequestEnd)
	c.acks(uint64(fromLocal) + 1)
	require.NoError(s.t, s.end())
	require.EqualValues(s.t, testSpare, s.options.Spare.left.Load())
}

func TestSenderGoesBeyondTheWindow(t *testing.T) {
	s := newScripted(t, wideOptions())
	c := s.open()
	s.local.do(func() { s.local.toRead = 3 << 20 })
	asked, err := sshwire.ParseWindowAsk(c.heard(t, sshwire.RequestWindowAsk))
	require.NoError(t, err)
	until(t, &c.mu, &c.change, func() bool { return uint64(len(c.got)) >= asked.Position })
	c.grants(testWide)
	begun, err := sshwire.ParseWindowBegin(c.heard(t, sshwire.RequestWindowBegin))
	require.NoError(t, err)
	// It keeps to the window, and to what was acknowledged.
	c.has(t, testWide)
	c.do(func() { require.Len(t, c.got, testWide) })
	c.do(func() { require.Equal(t, testWide-int(begun.Position), c.inData) })
	c.acks(testWide / 2)
	c.has(t, testWide*3/2)
	c.acks(testWide)
	c.has(t, testWide*2)
	c.acks(testWide * 2)
	c.has(t, 3<<20)
	require.EqualValues(t, testSpare-(testWide-testNarrow), s.options.Spare.left.Load())
	// When all is acknowledged the channel's window is enough again.
	c.acks(3 << 20)
	c.heard(t, sshwire.RequestWindowEnd)
	s.local.do(func() { s.local.toRead += 1000 })
	c.has(t, 3<<20+1000)
	c.do(func() { require.Equal(t, 3<<20-int(begun.Position), c.inData) })
	s.finish(c, 3<<20+1000, 0)
}

// Where acks come soon, the channel's window is wide enough.
func TestSenderThatIsFastDoesNotAsk(t *testing.T) {
	options := wideOptions()
	options.windows.held = time.Hour
	s := newScripted(t, options)
	c := s.open()
	s.local.do(func() { s.local.toRead = 12 * testNarrow })
	for n := 2; n <= 12; n += 2 { // twice a window is unacknowledged
		c.has(t, n*testNarrow)
		c.acks(uint64(n * testNarrow))
	}
	c.do(func() { require.Empty(t, c.asked) })
	s.finish(c, 12*testNarrow, 0)
}

// Who has no memory to spare declines, and goes on within the channel's window.
func TestSenderDeclinesAWindow(t *testing.T) {
	s := newScripted(t, wideOptions())
	c := s.open()
	s.local.do(func() { s.local.toRead = 2 * testNarrow })
	c.heard(t, sshwire.RequestWindowAsk)
	require.True(t, s.options.Spare.take(testSpare))
	c.grants(testWide)
	c.heard(t, sshwire.RequestWindowEnd)
	c.has(t, 2*testNarrow)
	c.do(func() { require.Zero(t, c.inData) })
	c.acks(2 * testNarrow)
	s.options.Spare.give(testSpare)
	s.finish(c, 2*testNarrow, 0)
}

func TestReceiverTakesBothInOrder(t *testing.T) {
	s := newScripted(t, wideOptions())
	c := s.open()
	position := 0
	sent := func(n int) (from int) {
		from, position = position, position+n
		return from
	}
	data := func(n int) { from := sent(n); c.do(func() { c.toRead = append(c.toRead, stretch(from, n)...) }) }
	for range 4 {
		data(testNarrow / 2)
		s.hears(position)
		c.asks(uint64(position))
		c.heard(t, sshwire.RequestWindowGrant)
		// What is in the channel comes first, however late it is read.
		s.local.do(func() { s.local.stuck = true })
		data(5000)
		c.begins(uint64(position))
		for _, n := range []int{1, 40, 3000, 100_000, 2, 20_000, 20_000, 1} {
			c.sends(sent(n), n)
		}
		s.local.do(func() { s.local.stuck = false })
		s.hears(position)
		c.acked(t, position)
		// What follows in the channel may be read before the word about it is.
		data(7000)
		c.stops()
		data(1)
		s.hears(position)
		c.do(func() { c.asked = nil })
	}
	s.finish(c, 0, position)
}

// acked waits for the ack of a position.
func (c *fakeChannel) acked(t *testing.T, position int) {
	t.Helper()
	payload := string(ssh.Marshal(sshwire.Ack{Position: uint64(position)}))
	until(t, &c.mu, &c.change, func() bool {
		for _, request := range c.asked {
			if request.Type == sshwire.RequestAck && string(request.Payload) == payload {
				return true
			}
		}
		return false
	})
}

// A local that doesn't keep up would only have more wait for it.
func TestSlowLocalGetsNoWindow(t *testing.T) {
	s := newScripted(t, wideOptions())
	c := s.open()
	s.local.do(func() { s.local.stuck, s.local.toRead = true, 10 })
	c.has(t, 10)
	c.do(func() { c.toRead = stretch(0, testNarrow) })
	c.asks(testNarrow)
	c.acks(10) // behind it
	s.eventually(func() bool { return s.out.acked == 10 })
	s.mu.Lock()
	require.Zero(t, s.at.granted)
	s.mu.Unlock()
	s.local.do(func() { s.local.stuck = false })
	s.hears(testNarrow)
	c.asks(testNarrow)
	c.heard(t, sshwire.RequestWindowGrant)
	s.finish(c, 10, testNarrow)
}

// What is lost with a channel comes again, and the next one begins as the first.
func TestChannelLostBeyondItsWindow(t *testing.T) {
	s := newScripted(t, wideOptions())
	c := s.open()
	s.local.do(func() { s.local.toRead = 512 << 10 })
	c.heard(t, sshwire.RequestWindowAsk)
	c.grants(testWide)
	c.has(t, 512<<10)
	c.asks(0)
	c.heard(t, sshwire.RequestWindowGrant)
	s.local.do(func() { s.local.stuck = true })
	c.begins(0)
	c.sends(0, 100_000)
	s.eventually(func() bool { return s.at.queue.end == 100_000 && s.in.received > 0 })
	c.Close()
	received := s.Detach()
	require.EqualValues(t, sshwire.MaxData, received, "what local is getting, and no more")
	require.EqualValues(t, testSpare-(testWide-testNarrow), s.options.Spare.left.Load(), "what is kept still takes memory")

	next := newFakeChannel()
	s.Resume(next, next.requests, received)
	next.acks(300_000)
	until(t, &next.mu, &next.change, func() bool { return len(next.got) == 512<<10-300_000 })
	next.do(func() {
		require.Equal(t, stretch(300_000, 512<<10-300_000), next.got)
		require.Empty(t, next.wrong)
		next.toRead = stretch(int(received), 1000)
	})
	next.acks(512 << 10)
	s.local.do(func() { s.local.stuck = false })
	s.hears(int(received) + 1000)
	s.finish(next, 512<<10, int(received)+1000)
}

func TestPeerThatBreaksTheRulesOfWindowsResets(t *testing.T) {
	for name, misdeed := range map[string]func(c *fakeChannel){
		"grant that wasn't asked for": func(c *fakeChannel) { c.grants(testWide) },
		"begin that wasn't granted":   func(c *fakeChannel) { c.begins(10) },
		"data that wasn't granted":    func(c *fakeChannel) { c.sends(10, 1) },
		"end that wasn't granted":     func(c *fakeChannel) { c.stops() },
		"begin before what was sent":  func(c *fakeChannel) { c.granted(); c.begins(9) },
		"two begins":                  func(c *fakeChannel) { c.granted(); c.begins(10); c.begins(10) },
		"data before begin":           func(c *fakeChannel) { c.granted(); c.sends(10, 1) },
		"data beyond the window":      func(c *fakeChannel) { c.granted(); c.begins(11); c.sends(11, testWide) },
		"data beyond the end":         func(c *fakeChannel) { c.granted(); c.ends(12); c.begins(10); c.sends(10, 3) },
		"end before data":             func(c *fakeChannel) { c.granted(); c.begins(11); c.sends(11, 5); c.ends(15) },
		"end of a window in use":      func(c *fakeChannel) { c.granted(); c.begins(11); c.sends(11, 5); c.stops() },
		"two ends of a window":        func(c *fakeChannel) { c.granted(); c.stops(); c.stops() },
		"bytes in both":               func(c *fakeChannel) { c.granted(); c.begins(11); c.do(func() { c.toRead = stretch(10, 2) }) },
		"no data":                     func(c *fakeChannel) { c.granted(); c.begins(10); c.says(sshwire.RequestData, nil) },
		"too much data": func(c *fakeChannel) {
			c.granted()
			c.begins(10)
			c.says(sshwire.RequestData, stretch(10, sshwire.MaxData+1))
		},
		"ask that can't be read":      func(c *fakeChannel) { c.says(sshwire.RequestWindowAsk, []byte{1}) },
		"grant that can't be read":    func(c *fakeChannel) { c.grants(sshwire.MinWindow - 1) },
		"begin that can't be read":    func(c *fakeChannel) { c.granted(); c.says(sshwire.RequestWindowBegin, nil) },
		"window's end with a payload": func(c *fakeChannel) { c.granted(); c.says(sshwire.RequestWindowEnd, []byte{1}) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t, wideOptions())
			c := s.open()
			c.t = t
			c.do(func() { c.toRead = stretch(0, 10) })
			s.hears(10)
			misdeed(c)
			require.ErrorIs(t, s.end(), ErrProtocol)
			c.heard(t, sshwire.RequestReset)
			require.EqualValues(t, testSpare, s.options.Spare.left.Load())
		})
	}
}

// granted asks for a window of a conn that has ten bytes, and waits for it.
func (c *fakeChannel) granted() {
	c.asks(10)
	c.heard(c.t, sshwire.RequestWindowGrant)
}

func TestSpare(t *testing.T) {
	s := NewSpare(10)
	require.True(t, s.take(7))
	require.False(t, s.take(4))
	require.True(t, s.take(3))
	require.False(t, s.take(1))
	s.give(10)
	require.True(t, s.take(10))
	require.False(t, (*Spare)(nil).take(0))
	(*Spare)(nil).give(0)
}

func TestQueueGivesWhatItGot(t *testing.T) {
	for _, size := range []int{1, 100, largeChunk/2 - 1, largeChunk / 2, largeChunk} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			var q queue
			q.begin(7)
			var got []byte
			pushed, popped := 0, 0
			for round := range 15 {
				for range 1 + round%7*3 {
					n := 1 + (round*7919+pushed)%size
					q.push(stretch(pushed, n))
					pushed += n
				}
				memory, waiting := 0, pushed-popped
				for _, part := range q.parts {
					memory += cap(part)
				}
				require.LessOrEqual(t, memory, 3*waiting+2*largeChunk)
				for range round % 5 {
					if len(q.parts) > 0 {
						part := q.pop()
						got, popped = append(got, part...), popped+len(part)
					}
				}
				require.EqualValues(t, 7+pushed, q.end)
				require.EqualValues(t, 7+popped, q.next)
			}
			for len(q.parts) > 0 {
				got = append(got, q.pop()...)
			}
			require.Equal(t, stretch(0, pushed), got)
		})
	}
}
