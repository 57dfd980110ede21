package resume

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// world is a relay and an agent, and one link after the other between them, as
// the packages of these names have them.
type world struct {
	t       *testing.T
	options Options

	mu     sync.Mutex
	link   *link
	change chan struct{}    // closed when link changes
	agents map[uint64]*Conn // the agent's ends
	ended  map[uint64]bool  // conns that the agent has had, or never will
	ends   map[uint64]chan result
	target func(id uint64) Local

	offers sync.WaitGroup
}

// result is what Run returned.
type result struct {
	stats Stats
	err   error
}

func newWorld(t *testing.T, options Options, target func(id uint64) Local) *world {
	w := &world{t: t, options: options, change: make(chan struct{}), agents: make(map[uint64]*Conn), ended: make(map[uint64]bool),
		ends: make(map[uint64]chan result), target: target}
	t.Cleanup(w.offers.Wait)
	return w
}

// use makes l the present link, and serves the agent's end of it.
func (w *world) use(l *link) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = l
	close(w.change)
	w.change = make(chan struct{})
	w.offers.Go(func() {
		for offer := range l.offers {
			w.offers.Go(func() { w.take(offer) })
		}
	})
}

// take is an offer at the agent.
func (w *world) take(offer ssh.NewChannel) {
	m, err := sshwire.ParseResumable(offer.ExtraData())
	if err != nil || offer.ChannelType() != sshwire.ChannelResumable {
		w.t.Errorf("an offer of %s: %v", offer.ChannelType(), err)
		return
	}
	w.mu.Lock()
	conn, known := w.agents[m.Conn]
	if !known && !m.Resumed && !w.ended[m.Conn] {
		known = true
		conn = New(w.target(m.Conn), w.options)
		w.agents[m.Conn] = conn
		end := w.ends[m.Conn]
		w.offers.Go(func() {
			stats, err := conn.Run(context.Background())
			end <- result{stats, err}
		})
		w.offers.Go(func() {
			<-conn.Done()
			w.mu.Lock()
			defer w.mu.Unlock()
			delete(w.agents, m.Conn)
			w.ended[m.Conn] = true
		})
	}
	w.mu.Unlock()
	if !known {
		_ = offer.Reject(ssh.ConnectionFailed, "unknown")
		return
	}
	channel, requests, err := offer.Accept()
	if err != nil { // the link is gone
		return
	}
	if m.Resumed {
		<-conn.Answer(channel, requests, m.Received)
	} else {
		<-conn.Open(channel, requests)
	}
}

// await returns the present link if it isn't old, or else waits for the next.
func (w *world) await(old *link, done <-chan struct{}) *link {
	for {
		w.mu.Lock()
		l, change := w.link, w.change
		w.mu.Unlock()
		if l != nil && l != old {
			return l
		}
		select {
		case <-change:
		case <-done:
			return nil
		}
	}
}

// carry is a conn at the relay. It returns both ends' results.
func (w *world) carry(id uint64, local Local) (relay, agent result) {
	end := make(chan result, 1)
	w.mu.Lock()
	w.ends[id] = end
	w.mu.Unlock()
	conn := New(local, w.options)
	var offering sync.WaitGroup
	offering.Go(func() { w.offer(id, conn) })
	stats, err := conn.Run(context.Background())
	offering.Wait()
	relay = result{stats, err}
	// The agent may have lost the last word. It would find out by patience.
	for {
		w.mu.Lock()
		other := w.agents[id]
		if other == nil && !w.ended[id] { // reset before it was offered
			w.ended[id] = true
			w.target(id).Close()
			end <- result{err: err}
		}
		w.mu.Unlock()
		select {
		case agent = <-end:
			return relay, agent
		case <-time.After(5 * time.Millisecond):
			if other != nil {
				other.Gone()
			}
		}
	}
}

// offer opens channels for a conn until it has ended.
func (w *world) offer(id uint64, conn *Conn) {
	var opened, resumed bool // opened: perhaps
	var l *link
	for l = w.await(l, conn.Done()); l != nil; {
		received := conn.Detach()
		channel, requests, err := l.relay.OpenChannel(sshwire.ChannelResumable, ssh.Marshal(sshwire.Resumable{
			Port: 1, Conn: id, Received: received, Resumed: opened,
		}))
		var refused *ssh.OpenChannelError
		switch {
		case errors.As(err, &refused) && resumed:
			conn.Gone()
			return
		case errors.As(err, &refused) && opened:
			opened = false
			continue
		case errors.As(err, &refused): // reset at the agent meanwhile
			conn.Gone()
			return
		case err != nil:
			opened = true
			l = w.await(l, conn.Done())
			continue
		case opened:
			<-conn.Resume(channel, requests, received)
		default:
			<-conn.Open(channel, requests)
		}
		opened, resumed = true, true
		if isClosed(conn.Done()) {
			return
		}
		if isClosed(l.down) {
			l = w.await(l, conn.Done())
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// cutting is how TestEveryByteArrivesOnce cuts links.
type cutting struct {
	name   string
	conns  int
	buffer int
	cuts   int // between links, so many bytes at most
	size   int
	resets bool
	narrow uint64 // beyond which a wider window is asked for; 0: not at all
}

// TestEveryByteArrivesOnce cuts links at random points while conns are at random
// points of their lives.
func TestEveryByteArrivesOnce(t *testing.T) {
	for _, test := range []cutting{
		{"often", 12, 0, 64 << 10, 256 << 10, false, 0},
		{"small buffer", 12, 48 << 10, 256 << 10, 1 << 20, false, 0},
		{"seldom", 12, 0, 2 << 20, 3 << 20, false, 0},
		{"with resets", 12, 0, 128 << 10, 512 << 10, true, 0},
		{"wide, often", 3, 0, 512 << 10, 2 << 20, false, 8 << 10},
		{"wide, seldom", 4, 0, 4 << 20, 8 << 20, false, 64 << 10},
		{"wide, with resets", 12, 0, 512 << 10, 1 << 20, true, 8 << 10},
	} {
		t.Run(test.name, func(t *testing.T) {
			windows := test.run(t)
			// The dice may cut each link before a window is granted that was asked for.
			for again := 0; test.narrow > 0 && windows == 0 && again < 4; again++ {
				windows = test.run(t)
			}
			require.Equal(t, test.narrow > 0, windows > 0)
		})
	}
}

// run has all conns come to their ends, and returns how many wider windows they
// had.
func (test cutting) run(t *testing.T) int64 {
	seed := rand.Uint64()
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	targets := make([]*net.TCPConn, test.conns)
	options := Options{Buffer: test.buffer, Patience: patience}
	spare := NewSpare(8 << 20) // which isn't enough for all
	if test.narrow > 0 {
		options.Spare, options.windows = spare, windows{narrow: test.narrow, wide: 1 << 20, backlog: 1 << 20}
	}
	w := newWorld(t, options, func(id uint64) Local { return targets[id] })
	content := make([]byte, 2*test.size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(content)

	var tasks sync.WaitGroup
	var resumed, windows atomic.Int64
	for id := range uint64(test.conns) {
		client, relay := tcp(t)
		target, far := tcp(t)
		targets[id] = target
		up, down := content[:test.size], content[test.size:]
		if id > 0 { // the first is more than a link carries, whatever the dice say of the others
			up = up[:random.IntN(test.size)*random.IntN(2)+random.IntN(100)]
			down = down[:random.IntN(test.size)*random.IntN(2)+random.IntN(100)]
		}
		a := &app{conn: client, sends: up, gets: down, slow: random.IntN(3) == 0, resets: -1}
		b := &app{conn: far, sends: down, gets: up, slow: random.IntN(3) == 0, resets: -1}
		whole := true
		if test.resets && id > 0 && random.IntN(2) == 0 {
			whole = false
			resetter := []*app{a, b}[random.IntN(2)]
			resetter.resets = random.IntN(len(resetter.sends) + 1)
		}
		aSeed, bSeed := random.Uint64(), random.Uint64()
		tasks.Go(func() {
			var apps sync.WaitGroup
			var aErr, bErr error
			apps.Go(func() { aErr = a.run(aSeed) })
			apps.Go(func() { bErr = b.run(bSeed) })
			atRelay, atAgent := w.carry(id, relay)
			apps.Wait()
			resumed.Add(int64(atRelay.stats.Channels - 1))
			windows.Add(int64(atRelay.stats.Windows))
			if whole {
				if aErr != nil || bErr != nil || atRelay.err != nil || atAgent.err != nil {
					t.Errorf("conn %d: client %v, target %v, relay %v, agent %v", id, aErr, bErr, atRelay.err, atAgent.err)
				}
				if atRelay.stats.FromLocal != int64(len(up)) || atRelay.stats.ToLocal != int64(len(down)) ||
					atAgent.stats.FromLocal != int64(len(down)) || atAgent.stats.ToLocal != int64(len(up)) {
					t.Errorf("conn %d: %d up, %d down; relay %+v, agent %+v", id, len(up), len(down), atRelay.stats, atAgent.stats)
				}
				return
			}
			for _, err := range []error{aErr, bErr} {
				if err != nil && err.Error() == "other bytes than were sent" {
					t.Errorf("conn %d: %v", id, err)
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() {
		tasks.Wait()
		close(finished)
	}()
	links := 0
	for late := time.After(2 * patience); !isClosed(finished); {
		// A link must live long enough to log in, and for some progress.
		l := newLink(t, 3<<10+random.Int64N(int64(test.cuts)), 3<<10+random.Int64N(int64(test.cuts)))
		if l == nil {
			continue
		}
		links++
		w.use(l)
		select {
		case <-l.down:
		case <-finished:
			l.cut()
		case <-late:
			require.Fail(t, "the conns did not end")
		}
	}
	t.Logf("%d links, %d resumptions, %d windows", links, resumed.Load(), windows.Load())
	require.NotZero(t, resumed.Load())
	require.EqualValues(t, 8<<20, spare.left.Load(), "not all was given back")
	return windows.Load()
}

// TestCleanEndNeedsNoSecondWord ends conns over a link that stays up, where the
// end that is done first closes the channel right behind its last ack.
func TestCleanEndNeedsNoSecondWord(t *testing.T) {
	l := newLink(t, 0, 0)
	require.NotNil(t, l)
	for range 200 {
		client, relayLocal := tcp(t)
		target, agentLocal := tcp(t)
		relay, agent := New(relayLocal, Options{}), New(agentLocal, Options{})
		var tasks sync.WaitGroup
		var relayErr, agentErr error
		tasks.Go(func() {
			channel, requests, err := (<-l.offers).Accept()
			if err != nil {
				t.Error(err)
				return
			}
			agent.Open(channel, requests)
			_, agentErr = agent.Run(t.Context())
		})
		channel, requests, err := l.relay.OpenChannel(sshwire.ChannelResumable, nil)
		require.NoError(t, err)
		relay.Open(channel, requests)
		tasks.Go(func() { _, relayErr = relay.Run(t.Context()) })
		require.NoError(t, client.CloseWrite())
		require.NoError(t, target.CloseWrite())
		tasks.Wait()
		require.NoError(t, relayErr)
		require.NoError(t, agentErr)
	}
}
