package netwatch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeSource is a network that the test changes.
type fakeSource struct {
	told chan hint // nil must be asked

	mu     sync.Mutex
	state  state
	err    error
	looks  int
	closed bool
}

func (f *fakeSource) hints() <-chan hint { return f.told }

func (f *fakeSource) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fakeSource) snapshot() (state, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looks++
	return f.state, f.err
}

func (f *fakeSource) set(s state, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state, f.err = s, err
}

// having is a state with addresses.
func having(addresses ...string) state {
	s := newState()
	for _, a := range addresses {
		s.addresses[address{netip.MustParseAddr(a), "eth0"}] = true
	}
	return s
}

// start runs a Watcher over source in the test's bubble.
func start(t *testing.T, from source, clock sleepClock) (w *Watcher, log *strings.Builder) {
	log = new(strings.Builder)
	w = New(slog.New(slog.NewTextHandler(log, nil)))
	w.open = func(*slog.Logger) source { return from }
	w.clock = func() sleepClock { return clock }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return w, log
}

func awake() time.Duration { return 0 }

// seen is the change waiting to be received, "" if there is none.
func seen(w *Watcher) string {
	synctest.Wait()
	select {
	case c := <-w.Changes():
		return c.String()
	default:
		return ""
	}
}

func TestPollingNoticesADifferenceAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{state: having("192.0.2.7")}
		w, _ := start(t, source, awake)
		time.Sleep(time.Minute)
		require.Empty(t, seen(w))
		require.Equal(t, 1+60/pollTicks, source.looks)

		source.set(having("192.0.2.7", "2001:db8::7"), nil)
		time.Sleep(pollTicks * tickInterval)
		require.Equal(t, "address 2001:db8::7 added on eth0", seen(w))
		source.set(having("198.51.100.7"), nil)
		time.Sleep(pollTicks * tickInterval)
		require.Equal(t, "address 192.0.2.7 removed on eth0; address 2001:db8::7 removed on eth0; address 198.51.100.7 added on eth0", seen(w))
	})
}

func TestABurstIsOneChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{told: make(chan hint), state: having("192.0.2.7")}
		w, _ := start(t, source, awake)
		source.set(having(), nil)
		for range 10 {
			source.told <- hint{}
			time.Sleep(settleTime / 20)
		}
		require.Empty(t, seen(w))
		time.Sleep(settleTime)
		require.Equal(t, "address 192.0.2.7 removed on eth0", seen(w))
		require.Equal(t, 2, source.looks)

		source.told <- hint{}
		time.Sleep(time.Minute)
		require.Empty(t, seen(w), "a message that changes nothing")
		source.told <- hint{lost: true}
		source.told <- hint{}
		time.Sleep(settleTime)
		require.Contains(t, seen(w), "could be read")
	})
}

func TestChangesNobodyReceivesAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{state: having()}
		w, _ := start(t, source, awake)
		for range maxSeen {
			for _, s := range []state{having("192.0.2.7"), having()} {
				source.set(s, nil)
				time.Sleep(pollTicks * tickInterval)
				synctest.Wait()
			}
		}
		c := <-w.Changes()
		require.Len(t, c.Seen, maxSeen)
		require.Equal(t, maxSeen, c.More)
		require.True(t, strings.HasSuffix(c.String(), "; and 8 more"), c.String())
		require.Empty(t, seen(w))
	})
}

func TestASleepIsNoticedWithWhatChangedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{told: make(chan hint), state: having("192.0.2.7")}
		var mu sync.Mutex
		var slept time.Duration
		sleep := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); slept += d }
		w, _ := start(t, source, func() time.Duration { mu.Lock(); defer mu.Unlock(); return slept })
		sleep(minSleep - 1)
		time.Sleep(time.Minute)
		require.Empty(t, seen(w))
		sleep(34 * time.Second)
		source.set(having(), nil)
		time.Sleep(tickInterval)
		require.Equal(t, "the machine slept for 34s; address 192.0.2.7 removed on eth0", seen(w))
		// Read late, and then in time.
		sleep(-time.Hour)
		time.Sleep(tickInterval)
		sleep(time.Hour)
		time.Sleep(time.Minute)
		require.Empty(t, seen(w))
	})
}

func TestANetworkThatCantBeReadIsSaidOnceAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{told: make(chan hint), state: having("192.0.2.7")}
		w, log := start(t, source, awake)
		source.set(state{}, errors.New("too many open files"))
		source.told <- hint{}
		time.Sleep(time.Minute)
		require.Empty(t, seen(w))
		require.Equal(t, 1, strings.Count(log.String(), "too many open files"))
		source.set(having("192.0.2.8"), nil)
		time.Sleep(tickInterval)
		require.Equal(t, "address 192.0.2.7 removed on eth0; address 192.0.2.8 added on eth0", seen(w))
	})
}

func TestASourceThatEndsIsFollowedByPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &fakeSource{told: make(chan hint), state: having("192.0.2.7")}
		w, _ := start(t, source, awake)
		close(source.told)
		require.Contains(t, seen(w), "tells no more")
		require.True(t, source.closed)
		time.Sleep(time.Minute)
	})
}

func TestTickClock(t *testing.T) {
	start := time.Now()
	at := start
	clock := newTickClock(func() time.Time { return at })
	advance := func(d time.Duration) time.Duration { at = at.Add(d); return clock() }
	require.Zero(t, advance(tickInterval))
	require.Zero(t, advance(tickInterval+lateTick-1), "a busy machine")
	require.Equal(t, time.Minute, advance(tickInterval+time.Minute))
	require.Equal(t, time.Minute, advance(tickInterval))
	// A monotonic clock that stood still: the wall clock alone has gone on.
	at = time.Now().Round(0).Add(time.Hour)
	before := clock()
	require.Greater(t, before, 50*time.Minute)
	at = at.Add(-time.Hour)
	require.Equal(t, before, clock(), "set back is no sleep")
}

func TestPollLeavesOutWhatNoRelayIsReachedBy(t *testing.T) {
	mask := net.CIDRMask(24, 32)
	p := &poll{
		interfaceAddrs: func() ([]net.Addr, error) {
			return []net.Addr{
				&net.IPNet{IP: net.IPv4(127, 0, 0, 1), Mask: mask}, &net.IPNet{IP: net.ParseIP("fe80::1"), Mask: mask},
				&net.IPNet{IP: net.IPv4(169, 254, 1, 1), Mask: mask}, &net.IPNet{IP: net.IPv4(192, 0, 2, 7), Mask: mask},
			}, nil
		},
		sourceAddress: func(network, _ string) (string, error) {
			return map[string]string{"udp4": "192.0.2.7"}[network], nil
		},
	}
	s, err := p.snapshot()
	require.NoError(t, err)
	require.Equal(t, map[address]bool{{addr: netip.MustParseAddr("192.0.2.7")}: true}, s.addresses)
	require.Equal(t, map[string]string{"source address over IPv4": "192.0.2.7"}, s.routes)
	p.sourceAddress = func(string, string) (string, error) { return "192.0.2.8", nil }
	later, err := p.snapshot()
	require.NoError(t, err)
	require.Equal(t, []string{"source address over IPv4 changed", "source address over IPv6 added"}, s.changesTo(later))
	// The real one, on this machine.
	_, err = openPoll(slog.New(slog.DiscardHandler)).snapshot()
	require.NoError(t, err)
}
