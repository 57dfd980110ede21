package sshwire

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/tcpio"
)

// path is a connection in memory whose other end is the test. What is written to
// it is lost.
type path struct {
	net.Conn
	in     chan []byte
	closed chan struct{}
	close  func() error
}

func newPath() *path {
	p := &path{in: make(chan []byte), closed: make(chan struct{})}
	p.close = sync.OnceValue(func() error { close(p.closed); return nil })
	return p
}

func (p *path) Read(b []byte) (int, error) {
	select {
	case data := <-p.in:
		return copy(b, data), nil
	case <-p.closed:
		return 0, io.EOF
	}
}

func (p *path) Write(b []byte) (int, error) { return len(b), nil }
func (p *path) Close() error                { return p.close() }

// watched is a Vigil under test, its link and the peer, on a clock of their own.
type watched struct {
	*Vigil
	ssh.Conn
	path      *path
	transport *tcpio.Conn

	mu     sync.Mutex
	rtt    time.Duration
	dead   bool          // the path: nothing comes or goes
	busy   time.Duration // by which answers come later
	asked  []time.Time
	reason error // for which it was given up

	cancel context.CancelFunc
	tasks  sync.WaitGroup
}

// watchOver begins a Vigil. It must be called in a bubble of synctest.
func watchOver(t *testing.T, quiet, patience, rtt time.Duration) *watched {
	w := &watched{path: newPath(), rtt: rtt}
	w.transport = tcpio.NewConn(w.path)
	w.Vigil = NewVigil(w.transport, w, quiet, patience)
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	w.tasks.Go(func() { _, _ = io.Copy(io.Discard, w.transport) })
	w.tasks.Go(func() {
		w.Run(ctx, func(err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.reason = err
			_ = w.transport.Close()
		})
	})
	synctest.Wait()
	return w
}

// end ends the link as its owner does.
func (w *watched) end() {
	w.cancel()
	_ = w.transport.Close()
	w.tasks.Wait()
}

// SendRequest is the link's.
func (w *watched) SendRequest(name string, wantReply bool, payload []byte) (bool, []byte, error) {
	if name != RequestKeepalive || !wantReply || len(payload) > 0 {
		panic("not a question")
	}
	if _, err := w.transport.Write(make([]byte, 60)); err != nil {
		return false, nil, err
	}
	w.mu.Lock()
	w.asked = append(w.asked, time.Now())
	dead, wait := w.dead, w.rtt+w.busy
	w.mu.Unlock()
	if !dead {
		select {
		case <-time.After(wait):
			if w.receive(60) {
				return false, nil, nil
			}
		case <-w.path.closed:
		}
	}
	<-w.path.closed
	return false, nil, io.EOF
}

// receive has bytes come from the peer unless the path is dead.
func (w *watched) receive(n int) bool {
	w.mu.Lock()
	dead := w.dead
	w.mu.Unlock()
	if dead {
		return false
	}
	select {
	case w.path.in <- make([]byte, n):
		return true
	case <-w.path.closed:
		return false
	}
}

func (w *watched) die(dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = dead
}

func (w *watched) questions() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

func (w *watched) givenUp() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reason
}

// use has the peer send something every 20 ms for so long.
func (w *watched) use(d time.Duration) {
	for range int(d / (20 * time.Millisecond)) {
		w.receive(1000)
		time.Sleep(20 * time.Millisecond)
	}
	synctest.Wait()
}

// untilDoubt is how long it takes until there is doubt, or there is none any more.
func (w *watched) untilDoubt(t *testing.T, want bool) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		doubt, changed := w.Doubt()
		if doubt == want {
			return time.Since(begun)
		}
		select {
		case <-changed:
		case <-time.After(time.Hour):
			t.Fatalf("the doubt is still %t", doubt)
		}
	}
}

func (w *watched) requireNoDoubt(t *testing.T) {
	t.Helper()
	doubt, _ := w.Doubt()
	require.False(t, doubt)
}

func TestVigilAsksAnIdlePeerNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, 15*time.Second, 45*time.Second, 70*time.Millisecond)
		require.Zero(t, w.RTT())
		for range 60 {
			time.Sleep(time.Second)
			w.requireNoDoubt(t)
		}
		require.InDelta(t, 4, w.questions(), 1)
		require.Equal(t, 70*time.Millisecond, w.RTT())
		require.NoError(t, w.givenUp())
		w.end()
	})
}

func TestVigilAsksNothingWhileThePeerTalks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, 2*time.Second, 45*time.Second, 0)
		w.use(time.Minute)
		require.Zero(t, w.questions())
		w.end()
	})
}

func TestVigilNoticesADeadPathInUse(t *testing.T) {
	for _, rtt := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			w := watchOver(t, 15*time.Second, 45*time.Second, rtt)
			w.Ask() // so that the round trip is known
			w.use(5 * time.Second)
			require.Equal(t, rtt, w.RTT())
			w.die(true)
			took := w.untilDoubt(t, true)
			require.Greater(t, took, answerLeast+answerRTTs*rtt)
			require.LessOrEqual(t, took, quietInUse+answerLeast+answerRTTs*rtt+3*lookInUse)
			// It comes back, and the first byte of it ends the doubt.
			w.die(false)
			time.Sleep(time.Second)
			require.True(t, w.receive(1))
			require.LessOrEqual(t, w.untilDoubt(t, false), lookInUse)
			w.end()
		})
	}
}

func TestVigilNoticesADeadIdlePathAfterItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, 2*time.Second, 45*time.Second, 10*time.Millisecond)
		time.Sleep(time.Minute)
		w.die(true)
		require.Less(t, w.untilDoubt(t, true), 4*time.Second)
		w.end()
	})
}

// The last bytes of a path may come after the question that it swallows.
func TestVigilIsNotDeceivedByTheLastSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, 15*time.Second, 45*time.Second, 10*time.Millisecond)
		w.use(time.Second)
		w.mu.Lock()
		w.busy = time.Hour // the question waits behind much else
		w.mu.Unlock()
		w.Ask()
		w.use(3 * time.Second)
		require.Equal(t, 1, w.questions())
		w.requireNoDoubt(t)
		w.die(true)
		require.Less(t, w.untilDoubt(t, true), 2*time.Second)
		w.end()
	})
}

func TestVigilDoesNotDoubtAPeerThatSendsButIsSlowToAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, 15*time.Second, 45*time.Second, 5*time.Second)
		w.Ask()
		for range 50 {
			w.use(100 * time.Millisecond)
			w.requireNoDoubt(t)
		}
		w.end()
	})
}

func TestVigilGivesUpAfterItsPatience(t *testing.T) {
	for _, quiet := range []time.Duration{time.Second, 15 * time.Second, 45 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := watchOver(t, quiet, 45*time.Second, 0)
			// One that answers is kept, however long the quiet is.
			time.Sleep(10 * time.Minute)
			require.NoError(t, w.givenUp())
			require.True(t, w.receive(1))
			w.die(true)
			begun := time.Now()
			w.tasks.Wait()
			require.ErrorIs(t, w.givenUp(), ErrSilent)
			require.ErrorContains(t, w.givenUp(), "45s")
			require.InDelta(t, 45, time.Since(begun).Seconds(), 1)
			w.end()
		})
	}
}

func TestVigilAsksWhenItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, time.Hour, 3*time.Hour, 10*time.Millisecond)
		w.Ask()
		w.Ask() // once is enough
		synctest.Wait()
		require.Equal(t, 1, w.questions())
		time.Sleep(time.Second)
		require.Equal(t, 10*time.Millisecond, w.RTT())
		w.die(true)
		w.Ask()
		require.Less(t, w.untilDoubt(t, true), time.Second)
		require.Equal(t, 2, w.questions())
		w.end()
	})
}

func TestVigilThatIsTurnedOffAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, times := range [][2]time.Duration{{0, time.Minute}, {time.Minute, 0}, {0, 0}} {
			w := watchOver(t, times[0], times[1], 0)
			w.Ask()
			time.Sleep(time.Hour)
			require.Zero(t, w.questions())
			w.requireNoDoubt(t)
			w.end()
		}
	})
}

func TestVigilEndsWithItsLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, 10*time.Second, time.Minute, 0)
		w.die(true)
		time.Sleep(15 * time.Second) // a question is under way
		require.Equal(t, 1, w.questions())
		_ = w.transport.Close()
		w.tasks.Wait()
		require.NoError(t, w.givenUp())
		w.cancel()
	})
}

func TestVigilOfALink(t *testing.T) {
	client, transport, _, frozen := linked(t)
	v := NewVigil(transport, client, 5*time.Millisecond, 3*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dead := make(chan error, 1)
	var watch sync.WaitGroup
	watch.Go(func() {
		v.Run(ctx, func(err error) {
			dead <- err
			client.Close()
		})
	})
	require.Eventually(t, func() bool { return v.RTT() > 0 }, 20*time.Second, time.Millisecond)
	require.Empty(t, dead)
	frozen.Lock()
	defer frozen.Unlock()
	require.ErrorIs(t, <-dead, ErrSilent)
	watch.Wait()
}

// The kernel of a peer that has nothing to say acknowledges what it gets.
func TestVigilAsksAPeerThatOnlyItsKernelSpeaksFor(t *testing.T) {
	client, transport, _, _ := linked(t)
	v := NewVigil(transport, client, time.Hour, 8*time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dead := make(chan error, 1)
	var tasks sync.WaitGroup
	tasks.Go(func() { v.Run(ctx, func(err error) { dead <- err }) })
	for v.RTT() == 0 {
		require.Empty(t, dead)
		_, _, err := client.SendRequest("news", false, make([]byte, 100))
		require.NoError(t, err)
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	tasks.Wait()
}

func TestVigilLooksWhenAnIdleLinkIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watchOver(t, time.Hour, 3*time.Hour, 10*time.Millisecond)
		time.Sleep(time.Minute)
		w.die(true)
		_, err := w.transport.Write(make([]byte, 1000))
		require.NoError(t, err)
		require.LessOrEqual(t, w.untilDoubt(t, true), answerLeast+3*lookInUse)
		w.end()
	})
}
