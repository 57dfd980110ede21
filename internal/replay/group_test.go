package replay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
	"funnel/internal/obs"
	"funnel/proto"
)

func TestGroupCarriesDatagramsBothWays(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	require.Equal(t, proto.Bind{Forward: 0}, r.grant(27015))
	require.EqualValues(t, 27015, await(t, d.bound).Port())
	r.sendRecords(announce(7, 0), say(7, 1, "one"), say(7, 1, "its copy"), say(7, 2, ""), announce(8, 0), say(8, 1, "other"))
	heard := make(map[string]netip.AddrPort)
	for range 3 {
		text, from := hear(t, target)
		heard[text] = from
	}
	require.Equal(t, heard["one"], heard[""])
	require.NotEqual(t, heard["one"], heard["other"], "each client has a socket")
	for text, flow := range map[string]uint32{"one": 7, "other": 8} {
		_, err := target.WriteToUDPAddrPort([]byte("answer"), heard[text])
		require.NoError(t, err)
		require.Equal(t, datagram{flow, 1, "answer"}, await(t, r.records))
	}
	require.EqualValues(t, 1, d.drops.Count(obs.DropDuplicate))
}

// TestGroupServesBeforeBound: streams don't wait for each other.
func TestGroupServesBeforeBound(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.sendRecords(announce(7, 0), say(7, 1, "early"))
	text, _ := hear(t, target)
	require.Equal(t, "early", text)
}

func TestGroupOneLaneBeginsTheOthersJoin(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f, f}, Lanes: 3})
	first := d.accept(proto.Token{}, token)
	first.grant(1)
	first.grant(2)
	second, third := d.accept(token, token), d.accept(token, token)
	await(t, d.bound)
	await(t, d.bound)
	for _, r := range []*relay{second, third} {
		r.sync()
		require.Empty(t, r.messages, "asked for once")
	}
}

func TestGroupRepeatsABindWhoseLaneWasLost(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 2})
	first := d.accept(proto.Token{}, token)
	require.IsType(t, proto.Bind{}, await(t, first.messages))
	second := d.accept(token, token)
	second.sync()
	require.Empty(t, second.messages)
	first.cut() // with the answer
	second.grant(5)
	require.EqualValues(t, 5, await(t, d.bound).Port())
}

func TestGroupAsksAgainForWhatWasRefused(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f, f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	for _, code := range []proto.Code{proto.CodeInUse, proto.CodeDenied} {
		bind := await(t, r.messages).(proto.Bind)
		r.send(proto.Refused{Forward: bind.Forward, Code: code, Text: "no"})
		require.ErrorIs(t, await(t, d.refused), &proto.Error{Code: code})
	}
	d.askRefused()
	require.EqualValues(t, 0, r.grant(5).Forward)
	await(t, d.bound)
	d.askRefused()
	r.sync()
	require.Empty(t, r.messages, "what was denied is not asked for again")
}

// TestGroupAsksForThePortItHad where the relay chose it, and for any other when
// somebody else has it now.
func TestGroupAsksForThePortItHad(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	require.Zero(t, r.grant(4000).Port)
	await(t, d.bound)
	r.cut()
	await(t, d.down)
	next := proto.Token{9}
	conn, hello := d.hello(proto.Welcome{Code: proto.CodeUnknownSession})
	require.Equal(t, token, hello.Session)
	conn.Close()
	r = d.accept(proto.Token{}, next)
	require.EqualValues(t, 2, d.dials.Load(), "another channel of the same connection is enough")
	bind := await(t, r.messages).(proto.Bind)
	require.EqualValues(t, 4000, bind.Port)
	r.send(proto.Refused{Code: proto.CodeInUse})
	require.Zero(t, r.grant(4001).Port)
	require.EqualValues(t, 4001, await(t, d.bound).Port())
	require.Empty(t, d.refused)
}

func TestGroupUnboundEndsItsFlowsAndIsAskedForAgain(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f, f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(1)
	r.grant(2)
	await(t, d.bound)
	await(t, d.bound)
	r.sendRecords(announce(7, 0), say(7, 1, "x"), announce(8, 1), say(8, 1, "x"))
	hear(t, target)
	hear(t, target)
	r.send(proto.Unbound{Forward: 0, Code: proto.CodeFailed, Text: "gone"})
	require.ErrorIs(t, await(t, d.refused), &proto.Error{Code: proto.CodeFailed})
	r.sendRecords(say(7, 2, "x"), say(8, 2, "still there"))
	text, _ := hear(t, target)
	require.Equal(t, "still there", text)
	require.Equal(t, gone{7, proto.GoneUnknown}, await(t, r.records))
	d.askRefused()
	require.EqualValues(t, 1, r.grant(1).Port)
	await(t, d.bound)
}

// TestGroupComesBackToItsSession: flows go on, and everything is asked for
// again, as an unbound may have been lost.
func TestGroupComesBackToItsSession(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(5)
	await(t, d.bound)
	r.sendRecords(announce(7, 0), say(7, 1, "one"))
	_, before := hear(t, target)
	r.cut()
	await(t, d.down)
	r = d.accept(token, token)
	require.EqualValues(t, 5, r.grant(5).Port)
	await(t, d.bound)
	r.sendRecords(announce(7, 0), say(7, 1, "one"), say(7, 2, "two"))
	text, after := hear(t, target)
	require.Equal(t, "two", text, "the first is a copy, still")
	require.Equal(t, before, after)
	_, err := target.WriteToUDPAddrPort([]byte("answer"), after)
	require.NoError(t, err)
	require.Equal(t, datagram{7, 1, "answer"}, await(t, r.records))
}

// TestGroupTellsAgainWhatWasRefusedForGood when it comes back to its session, in
// which it must not ask for that: who counts the answers gets all of them.
func TestGroupTellsAgainWhatWasRefusedForGood(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f, f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(5)
	await(t, d.bound)
	require.EqualValues(t, 1, await(t, r.messages).(proto.Bind).Forward)
	r.send(proto.Refused{Forward: 1, Code: proto.CodeDenied, Text: "no"})
	require.EqualError(t, await(t, d.refused), "no")
	for range 2 {
		r.cut()
		await(t, d.down)
		r = d.accept(token, token)
		require.EqualError(t, await(t, d.refused), "no")
		require.Zero(t, r.grant(5).Forward)
		await(t, d.bound)
		r.sync()
		require.Empty(t, r.messages, "what was denied is not asked for again")
	}
	r.cut()
	await(t, d.down)
	conn, _ := d.hello(proto.Welcome{Code: proto.CodeUnknownSession})
	conn.Close()
	r = d.accept(proto.Token{}, proto.Token{9})
	r.grant(5)
	require.EqualValues(t, 1, r.grant(6).Forward, "a new session is asked for everything")
	await(t, d.bound)
	await(t, d.bound)
	require.Empty(t, d.refused)
}

// TestGroupTakesNothingFromASessionThatIsOver: its numbers stand for others now.
func TestGroupTakesNothingFromASessionThatIsOver(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(5)
	await(t, d.bound)
	// What a lane of another session brings.
	old := newDelivery(d.Group, proto.Token{9})
	require.NoError(t, old.receive(append(announce(7, 0), say(7, 1, "old")...)))
	require.NoError(t, d.Group.bound(proto.Token{9}, proto.Bound{Port: 9}))
	require.NoError(t, d.Group.refused(proto.Token{9}, proto.Refused{Code: proto.CodeDenied}))
	require.NoError(t, d.Group.unbound(proto.Token{9}, proto.Unbound{}))
	require.False(t, d.attach(&attachment{token: proto.Token{9}}))
	require.EqualValues(t, 1, d.drops.Count(obs.DropUnknown))

	r.sendRecords(announce(7, 0), say(7, 1, "new"))
	text, _ := hear(t, target)
	require.Equal(t, "new", text)
	require.NoError(t, old.receive(proto.AppendGone(nil, 7, proto.GoneIdle)))
	require.NoError(t, old.receive(say(7, 2, "old")))
	r.sendRecords(say(7, 2, "new again"))
	text, _ = hear(t, target)
	require.Equal(t, "new again", text)
	require.Empty(t, d.bound)
	require.Empty(t, d.refused)
}

// TestGroupLostSessionEndsAllItsLanes, whichever heard of it.
func TestGroupLostSessionEndsAllItsLanes(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 2})
	first := d.accept(proto.Token{}, token)
	first.grant(5)
	await(t, d.bound)
	second := d.accept(token, token)
	second.sync()
	first.sendRecords(announce(7, 0), say(7, 1, "one"))
	_, from := hear(t, target)
	first.send(proto.Close{Code: proto.CodeClosing, Text: "going away"})
	require.Nil(t, await(t, second.messages), "its stream has ended")
	await(t, d.down)
	next := d.accept(proto.Token{}, proto.Token{9})
	next.grant(5)
	// The flow's socket is closed: what the target still says goes nowhere.
	_, err := target.WriteToUDPAddrPort([]byte("answer"), from)
	require.NoError(t, err)
	next.sync()
	require.Zero(t, d.flows.Len())
}

func TestGroupIdleFlowsEnd(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1, Idle: 40 * time.Millisecond})
	r := d.accept(proto.Token{}, token)
	r.sendRecords(announce(7, 0), say(7, 1, "x"))
	hear(t, target)
	require.Equal(t, gone{7, proto.GoneIdle}, await(t, r.records))
	r.sendRecords(say(7, 2, "x"))
	require.Equal(t, gone{7, proto.GoneUnknown}, await(t, r.records))
}

func TestGroupFullTableEvictsAndTells(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1, MaxFlows: 2})
	r := d.accept(proto.Token{}, token)
	for id := uint32(1); id <= 3; id++ {
		r.sendRecords(announce(id, 0), say(id, 1, "x"))
		hear(t, target)
	}
	require.Equal(t, gone{1, proto.GoneEvicted}, await(t, r.records))
	r.sendRecords(proto.AppendGone(nil, 2, proto.GoneIdle), proto.AppendGone(nil, 99, proto.GoneIdle), say(2, 2, "x"))
	require.Equal(t, gone{2, proto.GoneUnknown}, await(t, r.records))
}

func TestGroupIgnoresForwardsItDoesNotKnow(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.sendRecords(announce(7, 5), say(7, 1, "x"))
	require.Equal(t, gone{7, proto.GoneUnknown}, await(t, r.records))
	require.EqualValues(t, 1, d.drops.Count(obs.DropUnknown))
	await(t, r.messages)
	r.send(proto.Bound{Forward: 5, Port: 1})
	require.Nil(t, await(t, r.messages), "an answer to nothing ends the lane")
}

// TestGroupTargetGetsAnAddress: datagrams are dropped for that reason while it
// has none, and the next flow after a look-up finds it.
func TestGroupTargetGetsAnAddress(t *testing.T) {
	target, f := server(t)
	port := f.TargetPort
	f.TargetHost = "" // no name server need be asked to find nothing
	d := newDesk(t, Config{Lanes: 1, Forwards: []forward.Forward{f}})
	r := d.accept(proto.Token{}, token)
	for id := range uint32(3) {
		r.sendRecords(announce(id, 0), say(id, 1, "too early"))
		require.Equal(t, gone{id, proto.GoneUnknown}, await(t, r.records))
	}
	require.EqualValues(t, 3, d.drops.Count(obs.DropUnresolved))
	require.Zero(t, d.drops.Count(obs.DropUnknown))
	r.sync()

	name := d.targets[0]
	name.mu.Lock()
	name.text, name.tried = net.JoinHostPort("localhost", strconv.Itoa(int(port))), time.Time{}
	name.mu.Unlock()
	known := func() bool {
		_, ok := name.get()
		return ok
	}
	require.Eventually(t, known, patience, tick)
	r.sendRecords(announce(8, 0), say(8, 1, "in time"))
	text, _ := hear(t, target)
	require.Equal(t, "in time", text)
}

// TestTargetIsLookedUpNowAndThen, however many datagrams wait for it.
func TestTargetIsLookedUpNowAndThen(t *testing.T) {
	_, f := server(t)
	f.TargetHost = ""
	d := newDesk(t, Config{Lanes: 1, Forwards: []forward.Forward{f}})
	name := d.targets[0]
	tried := func() (time.Time, bool) {
		name.mu.Lock()
		defer name.mu.Unlock()
		return name.tried, !name.busy && !name.tried.IsZero()
	}
	require.Eventually(t, func() bool { _, done := tried(); return done }, patience, tick)
	name.mu.Lock()
	name.tried = time.Now().Add(time.Hour) // now is within the time between two
	name.mu.Unlock()
	before, _ := tried()
	for range 100 {
		name.get()
	}
	after, _ := tried()
	require.Equal(t, before, after)
}

func TestGroupGoodbye(t *testing.T) {
	_, f := server(t)
	var log bytes.Buffer
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	r := d.accept(proto.Token{}, token)
	r.grant(5)
	await(t, d.bound)
	stopped := make(chan struct{})
	go func() { defer close(stopped); d.stop() }()
	require.Equal(t, proto.CodeClosing, await(t, r.messages).(proto.Close).Code)
	r.send(proto.Close{Code: proto.CodeClosing, Text: "its agent closed it"})
	r.cut() // as a relay does
	await(t, stopped)
	require.NotContains(t, log.String(), "forgotten", "it was the agent who ended it")
}

func TestGroupEndsWithAPermanentError(t *testing.T) {
	permanent := errors.New("permanent")
	g := New(Config{
		Dial:      func(context.Context, func()) (*Lane, error) { return nil, permanent },
		Permanent: func(err error) bool { return errors.Is(err, permanent) },
	})
	require.ErrorIs(t, g.Run(context.Background()), permanent)
}

// TestGroupRelayThatStopsReadingDelaysNobody: a lane that takes nothing holds
// up neither the other lane nor the end.
func TestGroupRelayThatStopsReadingDelaysNobody(t *testing.T) {
	target, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 2, Copies: 2})
	first := d.accept(proto.Token{}, token)
	first.grant(5)
	conn, _ := d.hello(proto.Welcome{Session: token})
	opening := make([]byte, 34)
	for n := 0; n < len(opening); { // its streams, and nothing more
		got, err := conn.Read(opening[n:])
		require.NoError(t, err)
		n += got
	}
	require.Eventually(t, func() bool { return len(d.set.Lanes()) == 2 }, patience, tick)
	first.sendRecords(announce(7, 0), say(7, 1, "x"))
	_, from := hear(t, target)
	for i := range uint32(300) {
		_, err := target.WriteToUDPAddrPort([]byte("answer"), from)
		require.NoError(t, err)
		require.Equal(t, datagram{7, i + 1, "answer"}, await(t, first.records))
	}
	first.cut()
	require.NoError(t, conn.Close())
}
