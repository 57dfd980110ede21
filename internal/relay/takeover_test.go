package relay

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// hold takes a client's offers and answers none of them, as an agent that is
// frozen.
func hold(t testing.TB, client *ssh.Client) (held *atomic.Int32) {
	channels := offers(t, client)
	held = new(atomic.Int32)
	var holding sync.WaitGroup
	holding.Go(func() {
		for range channels {
			held.Add(1)
		}
	})
	t.Cleanup(func() {
		client.Close()
		holding.Wait()
	})
	return held
}

func TestALaterStartTakesThePortsOver(t *testing.T) {
	s := startRelay(t)
	first, _ := s.join(s.key, who("a", 1))
	held := hold(t, first)
	port := forward(t, first, "127.0.0.1", 0)

	// Clients come all the time. None is refused, and each is served in the end.
	stop := make(chan struct{})
	var prober, probes sync.WaitGroup
	var failed atomic.Value
	var begun, served atomic.Int32
	prober.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
			if begun.Load()-served.Load() >= maxOpening/2 { // on a busy machine more would wait than may
				continue
			}
			begun.Add(1)
			conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
			if err != nil {
				failed.Store(err)
				return
			}
			probes.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				if _, err := conn.Write([]byte("x")); err != nil {
					failed.Store(err)
				} else if _, err := conn.Read(make([]byte, 1)); err != nil {
					failed.Store(err)
				} else {
					served.Add(1)
				}
			})
		}
	})
	require.Eventually(t, func() bool { return held.Load() >= 10 }, patience, time.Millisecond)

	second, known := s.join(s.key, who("a", 2))
	require.False(t, known)
	serveEach(t, second, echo)
	forward(t, second, "127.0.0.1", port)
	require.Error(t, first.Wait(), "nothing is left to it")
	require.Eventually(t, func() bool { return served.Load() >= 50 || failed.Load() != nil }, patience, time.Millisecond)
	close(stop)
	prober.Wait()
	probes.Wait()
	require.Nil(t, failed.Load())
	require.EqualValues(t, 1, s.relay.counters.forwards.Count())

	// The first one wakes, and is told that it needn't try again.
	first, known = s.join(s.key, who("a", 1))
	require.False(t, known)
	ok, no := ask(t, first, "127.0.0.1", port)
	require.False(t, ok)
	require.True(t, no.Final)
	require.Equal(t, errInherits.Error(), no.Reason)
	requireEcho(t, connect(t, "127.0.0.1", port), "the second's")
	s.requireNothingLeft()
}

// The holder keeps what wasn't asked for.
func TestALaterStartTakesNoMoreThanItAsksFor(t *testing.T) {
	s := startRelay(t)
	first, _ := s.join(s.key, who("a", 1))
	serveEach(t, first, echo)
	taken, kept := forward(t, first, "127.0.0.1", 0), forward(t, first, "127.0.0.1", 0)
	ok, _ := ask(t, first, "127.0.0.2", taken)
	require.True(t, ok, "at another address")
	second, _ := s.join(s.key, who("a", 2))
	hold(t, second)
	forward(t, second, "127.0.0.1", taken)
	requireEcho(t, connect(t, "127.0.0.1", kept), "the first's")
	requireEcho(t, connect(t, "127.0.0.2", taken), "the first's, too")
	require.Len(t, s.relay.presences.list(), 2)
	s.requireNothingLeft()
}

// A wildcard needs the port of every address.
func TestALaterStartTakesWhatIsInItsWay(t *testing.T) {
	s := startRelay(t)
	first, _ := s.join(s.key, who("a", 1))
	port := forward(t, first, "127.0.0.1", freePort(t))
	ok, _ := ask(t, first, "127.0.0.2", port)
	require.True(t, ok)
	second, _ := s.join(s.key, who("a", 2))
	serveEach(t, second, echo)
	forward(t, second, "0.0.0.0", port)
	requireEcho(t, connect(t, "127.0.0.2", port), "the second's")
	require.Error(t, first.Wait())
	require.EqualValues(t, 1, s.relay.counters.forwards.Count())
	s.requireNothingLeft()
}

func TestWhoMayHaveAPort(t *testing.T) {
	s := startRelay(t)
	other := newKey(t)
	s.authorize(other, "")
	held, _ := s.join(s.key, who("a", 5))
	serveEach(t, held, echo)
	port := forward(t, held, "127.0.0.1", freePort(t)) // it is free for moments
	again := who("a", 5)
	again.Instance = who("x", 1).Instance

	for name, asks := range map[string]struct {
		key    ssh.Signer
		who    *sshwire.Announce
		absent bool // it may have the port while the holder is away
	}{
		"the same generation":  {s.key, &again, true},
		"another agent":        {s.key, new(who("b", 9)), true},
		"a stock client":       {s.key, nil, true},
		"another key":          {other, new(who("a", 9)), false},
		"another stock client": {other, nil, false},
	} {
		t.Log(name)
		client := s.dialWith(s.agentConfig(asks.key))
		serveEach(t, client, echo)
		if asks.who != nil {
			require.False(t, announce(t, client, *asks.who))
		}
		ok, no := ask(t, client, "127.0.0.1", port)
		require.False(t, ok)
		require.False(t, no.Final)
		require.Contains(t, no.Reason, "in use")
		requireEcho(t, connect(t, "127.0.0.1", port), "the holder's")

		s.lose(held)
		waits := connect(t, "127.0.0.1", port)
		ok, no = ask(t, client, "127.0.0.1", port)
		require.Equal(t, asks.absent, ok, no.Reason)
		if ok {
			requireEcho(t, waits, "who waited is served by it")
			require.NoError(t, client.Close()) // and now it's the holder's turn again
			require.Eventually(t, func() bool {
				held, _ = s.join(s.key, who("a", 5))
				ok, _ := ask(t, held, "127.0.0.1", port)
				return ok
			}, patience, 10*time.Millisecond)
			serveEach(t, held, echo)
		} else {
			held, _ = s.join(s.key, who("a", 5))
			serveEach(t, held, echo)
			forward(t, held, "127.0.0.1", port)
			requireEcho(t, waits, "who waited is served by the holder")
		}
		client.Close()
	}
	s.requireNothingLeft()
}

// The heir needs no more places than the holder had.
func TestATakeoverNeedsNoFurtherPlaces(t *testing.T) {
	s := startRelay(t)
	s.writeKeys(s.line(`max-forwards="1",max-connections="1"`, s.key))
	first, _ := s.join(s.key, who("a", 1))
	held := hold(t, first)
	port := forward(t, first, "127.0.0.1", 0)
	waits := connect(t, "127.0.0.1", port)
	require.Eventually(t, func() bool { return held.Load() == 1 }, patience, time.Millisecond)
	second, _ := s.join(s.key, who("a", 2))
	serveEach(t, second, echo)
	forward(t, second, "127.0.0.1", port)
	requireEcho(t, waits, "served")
	s.requireNothingLeft()
}

// What a key may not have, nobody gives up to it.
func TestADeniedForwardTakesNothing(t *testing.T) {
	s := startRelay(t)
	first, _ := s.join(s.key, who("a", 1))
	port := forward(t, first, "127.0.0.1", 0)
	p := s.relay.presences.list()[0]
	s.lose(first)
	second, _ := s.join(s.key, who("a", 2))
	ok, no := ask(t, second, "relay.example.org", port)
	require.False(t, ok)
	require.True(t, no.Final)
	require.Len(t, p.holds(port), 1)
	s.requireNothingLeft()
}

// Two agents of a key ask at once for what a third has left behind.
func TestOneOfTwoWhoAskAtOnceHasThePort(t *testing.T) {
	s := startRelay(t)
	for range 10 {
		holder, _ := s.join(s.key, who("a", 1))
		port := forward(t, holder, "127.0.0.1", 0)
		s.lose(holder)
		waits := connect(t, "127.0.0.1", port)
		clients := []*ssh.Client{s.dialWith(s.agentConfig(s.key)), s.dialWith(s.agentConfig(s.key))}
		var asking sync.WaitGroup
		var granted atomic.Int32
		for i, client := range clients {
			serveEach(t, client, echo)
			announce(t, client, who([]string{"b", "c"}[i], 1))
			asking.Go(func() {
				ok, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(port)}))
				if err == nil && ok {
					granted.Add(1)
				}
			})
		}
		asking.Wait()
		require.EqualValues(t, 1, granted.Load())
		requireEcho(t, waits, "served")
		for _, client := range clients {
			_, _, _ = client.SendRequest(sshwire.RequestLeave, true, nil)
		}
	}
	s.requireNothingLeft()
}

// A hostile client announces, binds and goes, over and over: its ports are
// bounded as everybody's are, and given back after the grace.
func TestAbsentAgentsCountAgainstTheLimits(t *testing.T) {
	s := startRelay(t, func(c *Config) {
		c.Grace = 2 * time.Second
		c.Limits.MaxForwards = 5
	})
	refused := false
	for n, begun := uint64(1), time.Now(); n < 9 || !refused && time.Since(begun) < patience; n++ { // a slow machine has given some back before it has used all
		client, _ := s.join(s.key, who("a", n))
		ok, no := ask(t, client, "127.0.0.1", 0)
		if !ok {
			require.Contains(t, no.Reason, "too many forwarded ports")
			refused = true
		}
		require.NoError(t, client.Close())
		require.Eventually(t, func() bool { return len(s.relay.presences.list()) <= 6 }, patience, time.Millisecond)
	}
	require.True(t, refused)
	require.Eventually(t, func() bool {
		return s.relay.counters.forwards.Count() == 0 && len(s.relay.presences.list()) == 0
	}, patience, 10*time.Millisecond)
	s.requireNothingLeft()
}

// TestAnAgentIsToldOfAPortThatIsTakenAway while its link lives, as it has others.
func TestAnAgentIsToldOfAPortThatIsTakenAway(t *testing.T) {
	s := startRelay(t)
	raw, err := net.Dial("tcp", s.address)
	require.NoError(t, err)
	conn, channels, requests, err := ssh.NewClientConn(raw, s.address, s.agentConfig(s.key))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	go func() {
		for range channels {
		}
	}()
	announce(t, conn, who("a", 1))
	kept, taken := forward(t, conn, "127.0.0.1", 0), forward(t, conn, "127.0.0.1", 0)
	require.NotEqual(t, kept, taken)
	told := func() sshwire.ForwardRequest {
		t.Helper()
		select {
		case request := <-requests:
			require.Equal(t, sshwire.RequestUnbound, request.Type)
			require.False(t, request.WantReply)
			message, err := sshwire.ParseForwardRequest(request.Payload)
			require.NoError(t, err)
			return message
		case <-time.After(patience):
			require.Fail(t, "it isn't told")
		}
		panic("unreachable")
	}

	// By a later start, at the same address and at one that is in the way.
	later, _ := s.join(s.key, who("a", 2))
	forward(t, later, "127.0.0.1", taken)
	require.Equal(t, sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(taken)}, told())
	_, no := ask(t, conn, "127.0.0.1", taken)
	require.True(t, no.Outlived, "and may ask why")
	all := forward(t, conn, "127.0.0.1", freePort(t)) // which nobody has at another address
	forward(t, later, "0.0.0.0", all)
	require.Equal(t, sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(all)}, told())

	// By the operator.
	revoked := forward(t, conn, "127.0.0.1", 0)
	s.writeKeys(s.line(`permitlisten="`+net.JoinHostPort("127.0.0.1", strconv.Itoa(int(kept)))+`"`, s.key))
	require.Equal(t, sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(revoked)}, told())
	require.True(t, accepts(kept))
}
