package relay

import (
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/resume"
	"funnel/internal/sshwire"
)

// lasting is an agent whose conns outlive its links.
func lasting(agent string) sshwire.Announce {
	announce := who(agent, 1)
	announce.Resume = 60
	return announce
}

// joinLasting logs in as an agent whose conns outlive its links. It takes offers
// before it is known: those of conns that go on come at once.
func (s *testbed) joinLasting(agent string) (client *ssh.Client, channels <-chan ssh.NewChannel, known bool) {
	s.t.Helper()
	client = s.dialWith(s.agentConfig(s.key))
	channels = resumables(s.t, client)
	return client, channels, announce(s.t, client, lasting(agent))
}

// resumables takes the conns offered to a client.
func resumables(t testing.TB, client *ssh.Client) <-chan ssh.NewChannel {
	channels := client.HandleChannelOpen(sshwire.ChannelResumable)
	require.NotNil(t, channels)
	return channels
}

// nextOffer is the next conn offered.
func nextOffer(t testing.TB, channels <-chan ssh.NewChannel) (ssh.NewChannel, sshwire.Resumable) {
	t.Helper()
	select {
	case offer := <-channels:
		require.NotNil(t, offer)
		message, err := sshwire.ParseResumable(offer.ExtraData())
		require.NoError(t, err)
		return offer, message
	case <-time.After(patience):
		require.Fail(t, "no conn was offered")
	}
	return nil, sshwire.Resumable{}
}

func accept1(t testing.TB, offer ssh.NewChannel) ssh.Channel {
	t.Helper()
	channel, requests, err := offer.Accept()
	require.NoError(t, err)
	var discarding sync.WaitGroup
	discarding.Go(func() { ssh.DiscardRequests(requests) })
	t.Cleanup(discarding.Wait)
	return channel
}

func TestAConnGoesOnOverTheNextLink(t *testing.T) {
	s := startRelay(t)
	first, channels, _ := s.joinLasting("a")
	port := forward(t, first, "127.0.0.1", 0)
	conn := connect(t, "127.0.0.1", port)
	offer, begun := nextOffer(t, channels)
	local := addrPort(conn.LocalAddr())
	require.Equal(t, sshwire.Resumable{
		Address: "127.0.0.1", Port: uint32(port), OriginAddress: "127.0.0.1", OriginPort: uint32(local.Port()), Conn: begun.Conn,
	}, begun)
	channel := accept1(t, offer)
	_, err := conn.Write([]byte("abc"))
	require.NoError(t, err)
	b := make([]byte, 3)
	_, err = io.ReadFull(channel, b)
	require.NoError(t, err)
	s.lose(first)
	_, err = conn.Write([]byte("def"))
	require.NoError(t, err)

	// Conns go on as soon as the relay knows who is there, be the port asked for or not.
	second, channels, known := s.joinLasting("a")
	require.True(t, known)
	offer, again := nextOffer(t, channels)
	begun.Resumed = true
	require.Equal(t, begun, again)
	channel = accept1(t, offer)
	_, err = channel.SendRequest(sshwire.RequestAck, false, ssh.Marshal(sshwire.Ack{Position: 3}))
	require.NoError(t, err)
	_, err = io.ReadFull(channel, b)
	require.NoError(t, err)
	require.Equal(t, "def", string(b))
	_, err = channel.Write([]byte("xyz"))
	require.NoError(t, err)
	_, err = io.ReadFull(conn, b)
	require.NoError(t, err)
	require.Equal(t, "xyz", string(b))

	// The next link's agent was told how much was received; it says that it
	// doesn't know the conn.
	s.lose(second)
	_, channels, _ = s.joinLasting("a")
	offer, again = nextOffer(t, channels)
	require.EqualValues(t, 3, again.Received)
	require.NoError(t, offer.Reject(ssh.ConnectionFailed, "unknown"))
	requireReset(t, conn)
	s.requireWaiting(0)
	s.requireNothingLeft()
}

// A client is offered by the same number until somebody has answered.
func TestAClientThatWasOfferedInVainIsOfferedAgain(t *testing.T) {
	s := startRelay(t)
	first, channels, _ := s.joinLasting("a")
	port := forward(t, first, "127.0.0.1", 0)
	conn := connect(t, "127.0.0.1", port)
	_, begun := nextOffer(t, channels)
	s.lose(first)
	second, channels, _ := s.joinLasting("a")
	forward(t, second, "127.0.0.1", port)
	offer, again := nextOffer(t, channels)
	require.Equal(t, begun, again)
	require.NoError(t, offer.Reject(ssh.ConnectionFailed, "no"))
	requireReset(t, conn)
	s.requireNothingLeft()
}

func TestRelayStopsWithConnsThatWaitForALink(t *testing.T) {
	s := startRelay(t)
	var conns []*net.TCPConn
	for _, name := range []string{"away", "there"} {
		client, channels, _ := s.joinLasting(name)
		port := forward(t, client, "127.0.0.1", 0)
		for range 3 {
			conns = append(conns, connect(t, "127.0.0.1", port))
			offer, _ := nextOffer(t, channels)
			channel := accept1(t, offer)
			_, err := channel.Write([]byte("x"))
			require.NoError(t, err)
			_, err = io.ReadFull(conns[len(conns)-1], make([]byte, 1))
			require.NoError(t, err)
		}
		if name == "away" {
			s.lose(client)
			conns = append(conns, connect(t, "127.0.0.1", port)) // and one that waits to begin
		}
	}
	s.requireWaiting(7)
	s.requireNothingLeft()
	for _, conn := range conns {
		requireReset(t, conn)
	}
}

func TestConnsEndWhenTheirAgentStaysAway(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Grace = 200 * time.Millisecond })
	client, channels, _ := s.joinLasting("a")
	conn := connect(t, "127.0.0.1", forward(t, client, "127.0.0.1", 0))
	offer, _ := nextOffer(t, channels)
	accept1(t, offer)
	s.lose(client)
	requireReset(t, conn)
	s.requireWaiting(0)
	s.requireNothingLeft()
}

// echoAgent is an agent whose targets send everything back, over link after link.
type echoAgent struct {
	ctx   context.Context
	tasks sync.WaitGroup

	mu  sync.Mutex
	all map[uint64]*resume.Conn
}

// serve takes the conns that are offered over a link until it ends.
func (a *echoAgent) serve(channels <-chan ssh.NewChannel) {
	a.tasks.Go(func() {
		for offer := range channels {
			message, err := sshwire.ParseResumable(offer.ExtraData())
			if err != nil {
				panic(err)
			}
			a.mu.Lock()
			conn := a.all[message.Conn]
			a.mu.Unlock()
			if conn == nil && message.Resumed {
				_ = offer.Reject(ssh.ConnectionFailed, "unknown")
				continue
			}
			channel, requests, err := offer.Accept()
			if err != nil {
				continue
			}
			if conn != nil {
				a.tasks.Go(func() { conn.Answer(channel, requests, message.Received) })
				continue
			}
			near, far := net.Pipe()
			conn = resume.New(&half{near}, resume.Options{})
			a.mu.Lock()
			a.all[message.Conn] = conn
			a.mu.Unlock()
			conn.Open(channel, requests)
			a.tasks.Go(func() { _, _ = io.Copy(far, far); far.Close() })
			a.tasks.Go(func() { _, _ = conn.Run(a.ctx) })
		}
	})
}

// half is a pipe whose ends close together.
type half struct{ net.Conn }

func (h *half) CloseWrite() error { return nil }

// New links replace each other faster than the conns can go on, and the conns go
// on nevertheless, with every byte.
func TestConnsSurviveLinksThatFollowEachOtherClosely(t *testing.T) {
	s := startRelay(t)
	ctx, cancel := context.WithCancel(t.Context())
	a := &echoAgent{ctx: ctx, all: make(map[uint64]*resume.Conn)}
	t.Cleanup(func() {
		cancel()
		a.tasks.Wait()
	})
	var port uint16
	link := func() *ssh.Client {
		client := s.dialWith(s.agentConfig(s.key))
		a.serve(resumables(t, client)) // before it can be offered anything
		announce(t, client, lasting("a"))
		port = forward(t, client, "127.0.0.1", port)
		return client
	}
	last := link()

	const size = 4 << 20
	var transfers sync.WaitGroup
	done := make(chan struct{})
	for i := range 10 {
		conn := connect(t, "127.0.0.1", port)
		require.NoError(t, conn.SetDeadline(time.Time{}))
		data := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(data)
		want := sha256.Sum256(data)
		transfers.Go(func() {
			for len(data) > 0 {
				n := min(len(data), 4<<10)
				if _, err := conn.Write(data[:n]); err != nil {
					return
				}
				data = data[n:]
			}
		})
		transfers.Go(func() {
			back := make([]byte, size)
			if _, err := io.ReadFull(conn, back); err != nil {
				t.Error(err)
			} else if sha256.Sum256(back) != want {
				t.Error("what came back is not what was sent")
			}
			_ = conn.Close()
		})
	}
	go func() { transfers.Wait(); close(done) }()
	random := rand.New(rand.NewPCG(1, 2))
	for n := 0; n < 30; n++ {
		next := link() // replaces the one before, which may be there or not
		select {
		case <-done:
			n = 30
		case <-time.After(time.Duration(random.IntN(20)) * time.Millisecond):
		}
		if random.IntN(2) == 0 {
			next.Close()
		}
		last = next
	}
	last.Close()
	link()
	select {
	case <-done:
	case <-time.After(2 * patience):
		t.Error("a conn hangs")
	}
	s.requireNothingLeft()
}
