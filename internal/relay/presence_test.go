package relay

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

// who is an agent by name, since it was started for the generation-th time.
func who(agent string, generation uint64) sshwire.Announce {
	pad := func(text string) string { return text + strings.Repeat(".", sshwire.IDSize-len(text)) }
	return sshwire.Announce{Agent: pad(agent), Generation: generation, Instance: pad(agent + " " + string(rune('0'+generation)))}
}

// announce says who a client is. It reports whether the relay knows it.
func announce(t testing.TB, client ssh.Conn, who sshwire.Announce) (known bool) {
	t.Helper()
	ok, reply, err := client.SendRequest(sshwire.RequestAnnounce, true, ssh.Marshal(who))
	require.NoError(t, err)
	require.True(t, ok)
	answer, err := sshwire.ParseAnnounced(reply)
	require.NoError(t, err)
	return answer.Known
}

// join logs in as an agent.
func (s *testbed) join(key ssh.Signer, who sshwire.Announce) (client *ssh.Client, known bool) {
	s.t.Helper()
	client = s.dialWith(s.agentConfig(key))
	return client, announce(s.t, client, who)
}

// lose ends a link without a word, and waits until its agent counts as away.
func (s *testbed) lose(client *ssh.Client) {
	s.t.Helper()
	p := s.presenceOf(client)
	require.NoError(s.t, client.Close())
	require.Eventually(s.t, func() bool { return p.currentLink() == nil }, patience, time.Millisecond)
}

// presenceOf is the presence that a client's link serves.
func (s *testbed) presenceOf(client *ssh.Client) *presence {
	s.t.Helper()
	for _, p := range s.relay.presences.list() {
		if l := p.currentLink(); l != nil && l.remote == addrPort(client.LocalAddr()) {
			return p
		}
	}
	require.Fail(s.t, "the client has no presence")
	return nil
}

// ask asks for a port, and returns the reason if it is refused.
func ask(t testing.TB, client ssh.Conn, address string, port uint16) (ok bool, no sshwire.Refusal) {
	t.Helper()
	ok, reply, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: address, Port: uint32(port)}))
	require.NoError(t, err)
	if !ok {
		no, _ = sshwire.ParseRefusal(reply)
	}
	return ok, no
}

// requireWaiting wants so many clients to wait for an agent or for its answer.
func (s *testbed) requireWaiting(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.relay.counters.conns.Count() == n }, patience, time.Millisecond)
}

// requireNothingLeft stops the relay and wants every place to have been given back.
func (s *testbed) requireNothingLeft() {
	s.t.Helper()
	s.end()
	require.Zero(s.t, s.relay.counters.conns.Count(), "conns")
	require.Zero(s.t, s.relay.counters.forwards.Count(), "forwards")
	require.Zero(s.t, s.relay.counters.links.Count(), "links")
	require.Empty(s.t, s.relay.presences.list())
	require.Empty(s.t, s.relay.presences.announced)
}

func TestPortsOutliveTheLink(t *testing.T) {
	s := startRelay(t)
	first, known := s.join(s.key, who("a", 1))
	require.False(t, known)
	port := forward(t, first, "127.0.0.1", 0)
	s.requireLogged(`msg="binding opened" remote=` + first.LocalAddr().String() + ` key=`)
	s.lose(first)
	s.requireLogged("agent is away")

	var waiting []*net.TCPConn
	for range 5 {
		waiting = append(waiting, connect(t, "127.0.0.1", port))
	}
	s.requireWaiting(5)
	second, known := s.join(s.key, who("a", 1))
	require.True(t, known)
	serveEach(t, second, echo)
	forward(t, second, "127.0.0.1", port)
	for _, conn := range waiting {
		requireEcho(t, conn, "waited")
		require.NoError(t, conn.Close())
	}
	requireEcho(t, connect(t, "127.0.0.1", port), "new")
	require.EqualValues(t, 1, s.relay.counters.forwards.Count())
	s.requireNothingLeft()
}

// Clients wait for the answer to the forward, not for the link alone: only then
// does the agent know what they are about.
func TestClientsWaitUntilTheirPortIsAskedForAgain(t *testing.T) {
	s := startRelay(t)
	first, _ := s.join(s.key, who("a", 1))
	port, other := forward(t, first, "127.0.0.1", 0), forward(t, first, "127.0.0.1", 0)
	s.lose(first)
	waits := connect(t, "127.0.0.1", port)
	s.requireWaiting(1)
	second, _ := s.join(s.key, who("a", 1))
	channels := offers(t, second)
	forward(t, second, "127.0.0.1", other)
	_, _, err := second.SendRequest("keepalive@openssh.com", true, nil)
	require.NoError(t, err)
	require.Empty(t, channels)
	forward(t, second, "127.0.0.1", port)
	require.NoError(t, (<-channels).Reject(ssh.ConnectionFailed, ""))
	requireReset(t, waits)
	s.requireNothingLeft()
}

func TestPortsThatTheRelayChoseAreFoundAgain(t *testing.T) {
	s := startRelay(t)
	client, _ := s.join(s.key, who("a", 1))
	ports := []uint16{forward(t, client, "127.0.0.1", 0), forward(t, client, "127.0.0.1", 0)}
	for range 3 {
		s.lose(client)
		client, _ = s.join(s.key, who("a", 1))
		again := []uint16{forward(t, client, "127.0.0.1", 0), forward(t, client, "127.0.0.1", 0)}
		require.ElementsMatch(t, ports, again, "each once")
	}
	another := forward(t, client, "127.0.0.1", 0)
	require.NotContains(t, ports, another)
	require.True(t, cancelForward(t, client, "127.0.0.1", another))
	require.EqualValues(t, 2, s.relay.counters.forwards.Count())
	s.requireNothingLeft()
}

func TestANewerLinkReplacesTheOneBefore(t *testing.T) {
	s := startRelay(t)
	first, _ := s.join(s.key, who("a", 1))
	serveEach(t, first, echo)
	port := forward(t, first, "127.0.0.1", 0)
	ends := connect(t, "127.0.0.1", port)
	requireEcho(t, ends, "over the first")

	second, known := s.join(s.key, who("a", 1))
	require.True(t, known)
	serveEach(t, second, echo)
	require.Error(t, first.Wait())
	requireReset(t, ends)
	waits := connect(t, "127.0.0.1", port)
	forward(t, second, "127.0.0.1", port)
	requireEcho(t, waits, "over the second")
	s.requireLogged("replaced by a newer link of its agent")
	s.requireNothingLeft()
}

// A link that was replaced may still have requests in the relay's hands.
func TestALinkThatWasReplacedBindsNothing(t *testing.T) {
	s := startRelay(t)
	client, _ := s.join(s.key, who("a", 1))
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	p := s.relay.presences.list()[0]
	b := p.holds(port)[0]
	former, message := &link{}, sshwire.ForwardRequest{Address: "127.0.0.1", Port: uint32(port)}
	_, err := p.bind(former, message)
	require.ErrorIs(t, err, errReplaced)
	p.confirm(former, b)
	require.False(t, p.unbind(former, message))
	p.detach(former, errReplaced)
	requireEcho(t, connect(t, "127.0.0.1", port), "still served")
	s.requireNothingLeft()
}

func TestOneOfManyLinksThatAnnounceAtOnceIsLeft(t *testing.T) {
	s := startRelay(t)
	var clients []*ssh.Client
	for range 8 {
		clients = append(clients, s.dialWith(s.agentConfig(s.key)))
	}
	var announcing sync.WaitGroup
	for _, client := range clients {
		announcing.Go(func() { // the answer may not reach one that is replaced at once
			_, _, _ = client.SendRequest(sshwire.RequestAnnounce, true, ssh.Marshal(who("a", 1)))
		})
	}
	announcing.Wait()
	require.Len(t, s.relay.presences.list(), 1)
	require.Eventually(t, func() bool { return s.relay.counters.links.Count() == 1 }, patience, time.Millisecond)
	served := 0
	for _, client := range clients {
		ok, _, err := client.SendRequest("tcpip-forward", true, ssh.Marshal(sshwire.ForwardRequest{Address: "127.0.0.1"}))
		if err == nil && ok {
			served++
		}
	}
	require.Equal(t, 1, served)
	s.requireNothingLeft()
}

func TestWhoLeavesLosesItsPortsAtOnce(t *testing.T) {
	s := startRelay(t)
	client, _ := s.join(s.key, who("a", 1))
	serveEach(t, client, echo)
	port := forward(t, client, "127.0.0.1", 0)
	conn := connect(t, "127.0.0.1", port)
	requireEcho(t, conn, "before")
	_, _, _ = client.SendRequest(sshwire.RequestLeave, true, nil) // any answer will do
	require.False(t, accepts(port))
	requireReset(t, conn)
	require.Error(t, client.Wait())
	require.Eventually(t, func() bool { return len(s.relay.presences.list()) == 0 }, patience, time.Millisecond)
	_, known := s.join(s.key, who("a", 1))
	require.False(t, known)
	s.requireNothingLeft()
}

func TestAnAgentThatStaysAwayLosesItsPorts(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Grace = 300 * time.Millisecond })
	client, _ := s.join(s.key, who("a", 1))
	held := hold(t, client)
	port := forward(t, client, "127.0.0.1", 0)
	waits := connect(t, "127.0.0.1", port)
	require.Eventually(t, func() bool { return held.Load() == 1 }, patience, time.Millisecond)
	s.lose(client)
	requireReset(t, waits)
	require.Eventually(t, func() bool { return !accepts(port) }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return s.relay.counters.forwards.Count() == 0 }, patience, time.Millisecond)
	s.requireNothingLeft()
}

// The grace begins anew each time, and does not run while there is a link.
func TestAnAgentThatComesBackHasAllItsGrace(t *testing.T) {
	const grace = time.Second
	s := startRelay(t, func(c *Config) { c.Grace = grace })
	client, _ := s.join(s.key, who("a", 1))
	port := forward(t, client, "127.0.0.1", 0)
	for begun := time.Now(); time.Since(begun) < 2*grace; {
		left := time.Now()
		s.lose(client)
		var known bool
		client, known = s.join(s.key, who("a", 1))
		if time.Since(left) >= grace { // a busy machine kept it away for too long: once more
			begun = time.Now()
			port = forward(t, client, "127.0.0.1", 0)
			continue
		}
		require.True(t, known)
	}
	require.True(t, accepts(port))
	s.requireNothingLeft()
}

// expire may have been on its way when the agent came back, and left again.
func TestAGraceThatIsOverEndsNobodyWhoCameBack(t *testing.T) {
	s := startRelay(t)
	client, _ := s.join(s.key, who("a", 1))
	port := forward(t, client, "127.0.0.1", 0)
	p := s.relay.presences.list()[0]
	p.expire()
	s.lose(client)
	p.expire()
	require.True(t, accepts(port))
	s.requireNothingLeft()
}

func TestAnAgentWithoutPortsHasNothingToKeep(t *testing.T) {
	s := startRelay(t)
	for range 20 {
		client, known := s.join(s.key, who("a", 1))
		require.False(t, known)
		port := forward(t, client, "127.0.0.1", 0)
		require.True(t, cancelForward(t, client, "127.0.0.1", port))
		require.NoError(t, client.Close())
		require.Eventually(t, func() bool { return len(s.relay.presences.list()) == 0 }, patience, time.Millisecond)
	}
	s.requireNothingLeft()
}

func TestRevokedKeyEndsItsAbsentAgents(t *testing.T) {
	s := startRelay(t)
	friend := newKey(t)
	s.authorize(friend, "")
	client, _ := s.join(friend, who("a", 1))
	port := forward(t, client, "127.0.0.1", 0)
	s.lose(client)
	waits := connect(t, "127.0.0.1", port)
	s.writeKeys(s.line("", s.key))
	requireReset(t, waits)
	require.Eventually(t, func() bool { return !accepts(port) }, patience, time.Millisecond)
	s.requireNothingLeft()
}

func TestAnAbsentAgentLosesWhatIsNoLongerPermitted(t *testing.T) {
	s := startRelay(t)
	client, _ := s.join(s.key, who("a", 1))
	kept, lost := forward(t, client, "127.0.0.1", 0), forward(t, client, "127.0.0.1", 0)
	s.lose(client)
	s.writeKeys(s.line(`permitlisten="`+(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(kept)}).String()+`"`, s.key))
	require.Eventually(t, func() bool { return !accepts(lost) }, patience, time.Millisecond)
	require.True(t, accepts(kept))
	s.requireNothingLeft()
}

func TestAnnouncementsThatAreRefused(t *testing.T) {
	s := startRelay(t)
	refused := func(client ssh.Conn, payload []byte) {
		t.Helper()
		ok, _, err := client.SendRequest(sshwire.RequestAnnounce, true, payload)
		require.NoError(t, err)
		require.False(t, ok)
	}
	client := s.dial()
	refused(client, nil)
	refused(client, ssh.Marshal(sshwire.Announce{Agent: "short", Instance: "short"}))
	require.False(t, announce(t, client, who("a", 1)))
	refused(client, ssh.Marshal(who("a", 1)))
	refused(client, ssh.Marshal(who("b", 1)))

	late := s.dial()
	port := forward(t, late, "127.0.0.1", 0)
	refused(late, ssh.Marshal(who("c", 1)))
	require.NoError(t, late.Close())
	require.Eventually(t, func() bool { return !accepts(port) }, patience, time.Millisecond, "it is a stock client's")
	s.requireNothingLeft()
}

func TestAnAnnouncementHeldUpOnItsWay(t *testing.T) {
	s := startRelay(t)
	announced := ssh.Marshal(who("a", 1))
	first, second := s.dialWith(s.agentConfig(s.key)), s.dialWith(s.agentConfig(s.key))
	client, _ := s.join(s.key, who("a", 1))
	port := forward(t, client, "127.0.0.1", 0)

	ok, _, err := first.SendRequest(sshwire.RequestAnnounce, true, announced)
	require.False(t, ok && err == nil)
	require.Error(t, first.Wait())
	require.NotNil(t, s.presenceOf(client))

	// Also while the agent is away it takes nothing.
	s.lose(client)
	_, _, _ = second.SendRequest(sshwire.RequestAnnounce, true, announced)
	require.Error(t, second.Wait())
	require.True(t, accepts(port))
	_, known := s.join(s.key, who("a", 1))
	require.True(t, known)
}

func TestRelayStopsWithAgentsAway(t *testing.T) {
	s := startRelay(t)
	var clients []*net.TCPConn
	for _, name := range []string{"a", "b", "c"} {
		client, _ := s.join(s.key, who(name, 1))
		port := forward(t, client, "127.0.0.1", 0)
		s.lose(client)
		for range 3 {
			clients = append(clients, connect(t, "127.0.0.1", port))
		}
	}
	s.requireWaiting(9)
	s.requireNothingLeft()
	for _, conn := range clients {
		requireReset(t, conn)
	}
}
