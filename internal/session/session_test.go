package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/access"
	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/proto"
)

func TestSessionCarriesDatagramsBothWays(t *testing.T) {
	a := newDesk(t, Config{}).join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	c := client(t, public)
	say(t, c, "one")
	h, ok := a.record().(proto.FlowHeader)
	require.True(t, ok, "the header comes first")
	require.Equal(t, proto.FlowHeader{Flow: h.Flow, Forward: 1, Client: c.LocalAddr().(*net.UDPAddr).AddrPort()}, h)
	require.Equal(t, datagram{h.Flow, 1, "one"}, a.record())
	say(t, c, "")
	require.Equal(t, datagram{h.Flow, 2, ""}, a.record())

	a.sendRecord(proto.AppendDatagram(nil, h.Flow, 1, []byte("answer")))
	a.sendRecord(proto.AppendDatagram(nil, h.Flow, 1, []byte("its copy")))
	a.sendRecord(proto.AppendDatagram(nil, h.Flow, 2, []byte("more")))
	require.Equal(t, "answer", hear(t, c))
	require.Equal(t, "more", hear(t, c))

	other := client(t, public)
	say(t, other, "hi")
	second := a.record().(proto.FlowHeader)
	require.NotEqual(t, h.Flow, second.Flow)
	require.Equal(t, datagram{second.Flow, 1, "hi"}, a.record())
}

func TestSessionAnswersAForwardAgain(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	b := d.join(key("a"), a.token)
	public := a.bind(1, 0)
	require.Equal(t, public, b.bind(1, 0), "as it was asked for then")
	require.Equal(t, public, b.bind(1, public.Port()), "as it was bound")
	require.Equal(t, proto.CodeMalformed, b.refusal(proto.Bind{Forward: 1, Host: "127.0.0.1", Port: public.Port() ^ 1}))
	require.Equal(t, proto.CodeMalformed, b.refusal(proto.Bind{Forward: 1, Host: "", Port: public.Port()}))
	require.Equal(t, public, a.bind(1, 0), "the binding stays")
}

func TestSessionRefusesBinds(t *testing.T) {
	refusals := make(chan string, 10)
	d := newDesk(t, Config{Log: slog.New(attributeTo{slog.DiscardHandler, "binding refused", "cause", refusals})})
	port := freePort(t)
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	require.NoError(t, err)
	defer taken.Close()
	a := d.join(key("a"), proto.Token{})
	ask := proto.Bind{Forward: 1, Host: "127.0.0.1", Port: port}
	require.Equal(t, proto.CodeInUse, a.refusal(ask))
	require.Equal(t, fmt.Sprintf("UDP port %d of the relay is in use", port), <-refusals)
	taken.Close()
	require.Equal(t, port, a.bind(1, port).Port(), "refused then, granted now")

	require.Equal(t, proto.CodeFailed, a.refusal(proto.Bind{Forward: 3, Host: "192.0.2.1", Port: port}))
	require.Equal(t, "the relay has no address 192.0.2.1", <-refusals)

	require.Equal(t, proto.CodeDenied, a.refusal(proto.Bind{Forward: 2, Host: "no.address.example"}))

	denied := key("b")
	denied.Grant = grantFunc(func(string, uint16, func(string, uint16) (uint16, error)) (uint16, error) {
		return 0, &access.Denied{Network: "udp"}
	})
	b := d.join(denied, proto.Token{})
	b.send(proto.Bind{Forward: 3})
	require.Equal(t, proto.Refused{Forward: 3, Code: proto.CodeDenied}, b.message())
}

// attributeTo is a log of which one attribute of one event is kept.
type attributeTo struct {
	slog.Handler
	event, key string
	values     chan<- string
}

func (to attributeTo) Enabled(context.Context, slog.Level) bool { return true }

func (to attributeTo) WithAttrs([]slog.Attr) slog.Handler { return to }

func (to attributeTo) Handle(_ context.Context, record slog.Record) error {
	if record.Message == to.event {
		record.Attrs(func(a slog.Attr) bool {
			if a.Key == to.key {
				to.values <- a.Value.String()
			}
			return true
		})
	}
	return nil
}

// TestSessionTellsWhoIsThere, and nothing of who only seems to be.
func TestSessionTellsWhoIsThere(t *testing.T) {
	clients := make(chan string, 10)
	a := newDesk(t, Config{Log: slog.New(attributeTo{slog.DiscardHandler, "flow established", "client", clients})}).join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	silent, player := client(t, public), client(t, public)
	say(t, silent, "x")
	a.record()
	a.record()
	say(t, player, "hello")
	h := a.record().(proto.FlowHeader)
	a.record()
	a.sendRecord(proto.AppendDatagram(nil, h.Flow, 1, []byte("answer")))
	hear(t, player)
	say(t, silent, "y")
	a.record()
	for range 3 {
		say(t, player, "thanks")
		a.record()
	}
	a.leave()
	require.Equal(t, player.LocalAddr().String(), <-clients)
	require.Empty(t, clients)
}

func TestSessionUnbindFreesThePort(t *testing.T) {
	a := newDesk(t, Config{}).join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	c := client(t, public)
	say(t, c, "one")
	h := a.record().(proto.FlowHeader)
	a.record()
	a.send(proto.Unbind{Forward: 1})
	require.Equal(t, proto.Unbound{Forward: 1}, a.message())
	require.True(t, free(public))
	a.sendRecord(proto.AppendDatagram(nil, h.Flow, 1, []byte("late")))
	require.Equal(t, gone{h.Flow, proto.GoneUnknown}, a.record())
	a.send(proto.Unbind{Forward: 1})
	require.Equal(t, proto.CodeMalformed, a.message().(proto.Unbound).Code)
	// The number may be used again, and the flow is a new one.
	require.Equal(t, public, a.bind(1, public.Port()))
	c = client(t, public)
	say(t, c, "two")
	require.NotEqual(t, h.Flow, a.record().(proto.FlowHeader).Flow)
}

func TestSessionLostSocketIsTold(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(7, 0)
	s := d.only()
	s.mu.Lock()
	b := s.bindings[7]
	s.mu.Unlock()
	s.lose(b, io.ErrUnexpectedEOF)
	unbound := a.message().(proto.Unbound)
	require.EqualValues(t, 7, unbound.Forward)
	require.Equal(t, proto.CodeFailed, unbound.Code)
	require.NotEmpty(t, unbound.Text)
	s.lose(b, io.ErrUnexpectedEOF) // its reader says so, too
	require.Equal(t, public, a.bind(7, public.Port()))
}

func TestSessionTokenIsOfOneKey(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("b"), a.token))
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), proto.Token{1}))
	require.Equal(t, a.token, d.join(key("a"), a.token).token)
	require.NotEqual(t, a.token, d.join(key("a"), proto.Token{}).token)
}

func TestSessionBoundsItsLanes(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	lanes := []*agent{a}
	for range lane.MaxLanes - 1 {
		lanes = append(lanes, d.join(key("a"), a.token))
	}
	require.Equal(t, proto.CodeLimit, d.refused(key("a"), a.token))
	lanes[5].leave()
	d.join(key("a"), a.token)
}

// TestLanesOfAFullSessionAreReplaced at once, each by one that was dialled later.
func TestLanesOfAFullSessionAreReplaced(t *testing.T) {
	d := newDesk(t, Config{})
	peer := key("a")
	peer.Arrival = 5
	first := d.joinAs(peer, proto.Hello{Lane: 1})
	for n := uint8(2); n <= lane.MaxLanes; n++ {
		d.joinAs(peer, proto.Hello{Session: first.token, Lane: n})
	}
	peer.Arrival = 7
	second := d.joinAs(peer, proto.Hello{Session: first.token, Lane: 1})
	first.awaitEnd()

	// The hello of one that was dialled before may come late.
	peer.Arrival = 6
	late, welcome := d.greetAs(peer, proto.Hello{Session: first.token, Lane: 1})
	require.Equal(t, proto.CodeLimit, welcome.Code)
	late.awaitEnd()
	second.none()
}

func TestRegistryBoundsAKeysSessions(t *testing.T) {
	r := newDesk(t, Config{}).Registry
	for range maxSessions {
		_, err := r.join(proto.Hello{}, key("a"))
		require.NoError(t, err)
	}
	_, err := r.join(proto.Hello{}, key("a"))
	require.ErrorIs(t, err, &proto.Error{Code: proto.CodeLimit})
	_, err = r.join(proto.Hello{}, key("b"))
	require.NoError(t, err)
}

func TestSessionWithNothingBoundEndsWithItsLastLane(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	a.leave()
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), a.token))
}

// TestSessionOutlivesItsLanes: bindings, flows and numbers go on, and flows are
// announced again.
func TestSessionOutlivesItsLanes(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	c := client(t, public)
	say(t, c, "one")
	h := a.record().(proto.FlowHeader)
	a.record()
	a.leave()
	say(t, c, "nobody is there")
	s := d.only()
	require.Eventually(t, func() bool { return s.drops.Count(obs.DropNoLane) == 1 }, patience, time.Millisecond)

	b := d.join(key("a"), a.token)
	require.Equal(t, public, b.bind(1, 0))
	say(t, c, "three")
	require.Equal(t, h, b.record())
	require.Equal(t, datagram{h.Flow, 2, "three"}, b.record())
	b.sendRecord(proto.AppendDatagram(nil, h.Flow, 1, []byte("answer")))
	require.Equal(t, "answer", hear(t, c))
}

// TestSessionGrace is the end of the grace, early: an agent that is there, or
// there again, keeps its session.
func TestSessionGrace(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	s := d.only()
	s.expire()
	require.False(t, free(public))
	a.leave()
	require.False(t, free(public))
	b := d.join(key("a"), a.token)
	s.expire()
	require.Equal(t, public, b.bind(1, 0))
	b.leave()
	s.expire()
	require.True(t, free(public))
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), a.token))
}

func TestSessionTakesOverWhatItsKeyLeftBehind(t *testing.T) {
	d := newDesk(t, Config{})
	first := d.join(key("a"), proto.Token{})
	public := first.bind(1, 0)
	ask := proto.Bind{Forward: 9, Host: "127.0.0.1", Port: public.Port()}
	second := d.join(key("a"), proto.Token{})
	require.Equal(t, proto.CodeInUse, second.refusal(ask), "its agent is there")
	first.leave()
	stranger := d.join(key("b"), proto.Token{})
	require.Equal(t, proto.CodeInUse, stranger.refusal(ask), "another key")
	require.Equal(t, public, second.bind(9, public.Port()))
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), first.token))
}

func TestSessionAgentsGoodbyeFreesPortsAtOnce(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	b := d.join(key("a"), a.token)
	public := a.bind(1, 0)
	a.send(proto.Close{Code: proto.CodeClosing})
	require.NoError(t, a.awaitEnd())
	require.True(t, free(public))
	require.Equal(t, proto.CodeClosing, b.message().(proto.Close).Code)
	require.Nil(t, b.message())
	b.awaitEnd()
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), a.token))
}

func TestRegistryCloseSaysWhy(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	d.Registry.Close()
	require.True(t, free(public))
	message := a.message().(proto.Close)
	require.Equal(t, proto.CodeClosing, message.Code)
	require.NotEmpty(t, message.Text)
	require.Equal(t, proto.CodeClosing, d.refused(key("a"), proto.Token{}))
}

func TestSessionIdleFlowsEnd(t *testing.T) {
	d := newDesk(t, Config{Idle: 40 * time.Millisecond})
	a := d.join(key("a"), proto.Token{})
	c := client(t, a.bind(1, 0))
	say(t, c, "one")
	h := a.record().(proto.FlowHeader)
	a.record()
	require.Equal(t, gone{h.Flow, proto.GoneIdle}, a.record())
	s := d.only()
	s.mu.Lock()
	require.Zero(t, s.flows.Len())
	require.Empty(t, s.bindings[1].flows)
	s.mu.Unlock()
	say(t, c, "two")
	require.NotEqual(t, h.Flow, a.record().(proto.FlowHeader).Flow)
	require.Equal(t, "two", a.record().(datagram).payload)
}

func TestSessionFullTableEvictsAndTells(t *testing.T) {
	d := newDesk(t, Config{MaxFlows: 2})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	for id := uint32(1); id <= 3; id++ {
		say(t, client(t, public), "x")
		if id == 3 { // records go before datagrams
			require.Equal(t, gone{1, proto.GoneEvicted}, a.record())
		}
		require.Equal(t, id, a.record().(proto.FlowHeader).Flow)
		require.Equal(t, datagram{id, 1, "x"}, a.record())
	}
	s := d.only()
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.bindings[1].flows, 2)
}

func TestSessionForgetsWhatTheAgentForgot(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	c := client(t, a.bind(1, 0))
	say(t, c, "one")
	h := a.record().(proto.FlowHeader)
	a.record()
	a.sendRecord(proto.AppendGone(nil, h.Flow, proto.GoneIdle))
	a.sendRecord(proto.AppendGone(nil, h.Flow+100, proto.GoneIdle))
	a.none()
	say(t, c, "two")
	second := a.record().(proto.FlowHeader)
	require.NotEqual(t, h.Flow, second.Flow)
	require.Equal(t, datagram{second.Flow, 1, "two"}, a.record())
}

// TestSessionNumbersRepeatNoLiveFlow: after 2^32 flows they start again.
func TestSessionNumbersRepeatNoLiveFlow(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	s := d.only()
	open := func() uint32 {
		say(t, client(t, public), "x")
		h := a.record().(proto.FlowHeader)
		a.record()
		return h.Flow
	}
	first := open()
	s.mu.Lock()
	s.nextFlow = math.MaxUint32 - 1
	s.mu.Unlock()
	seen := map[uint32]bool{first: true}
	for range 4 {
		id := open()
		require.False(t, seen[id], "flow %d", id)
		seen[id] = true
	}
	require.True(t, seen[0], "it did wrap")
}

// TestSessionReaderOfAClosedBindingDropsAll is the race between a socket's
// reader and unbind.
func TestSessionReaderOfAClosedBindingDropsAll(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	a.bind(1, 0)
	s := d.only()
	s.mu.Lock()
	b := s.bindings[1]
	s.remove(b)
	r := reader{binding: b}
	require.Nil(t, r.open(origin{remote: netip.MustParseAddrPort("127.0.0.1:9")}, lane.Now()))
	s.bindings[1] = b // for its end
	s.mu.Unlock()
}
