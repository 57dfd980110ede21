package session

import (
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/lane"
	"funnel/proto"
)

// started is the hello of an agent that was started for the generation-th time.
func started(agent byte, generation uint64) proto.Hello {
	return proto.Hello{Agent: [proto.AgentSize]byte{agent}, Generation: generation}
}

func TestALaterStartTakesThePortOver(t *testing.T) {
	d := newDesk(t, Config{})
	first := d.joinAs(key("a"), started(1, 1))
	taken, kept := first.bind(1, 0), first.bind(2, 0)
	c := client(t, taken)
	say(t, c, "to the first")
	first.record()
	first.record()

	second := d.joinAs(key("a"), started(1, 2))
	require.Equal(t, taken, second.bind(9, taken.Port()))
	told := first.message().(proto.Unbound)
	require.EqualValues(t, 1, told.Forward)
	require.Equal(t, proto.CodeOutlived, told.Code)
	require.NotEmpty(t, told.Text)
	say(t, c, "to the second")
	h, ok := second.record().(proto.FlowHeader)
	require.True(t, ok)
	require.Equal(t, datagram{h.Flow, 1, "to the second"}, second.record())

	// It isn't had back, and what wasn't asked for stays.
	require.Equal(t, proto.CodeOutlived, first.refusal(proto.Bind{Forward: 1, Host: "127.0.0.1", Port: taken.Port()}))
	c = client(t, kept)
	say(t, c, "still the first's")
	first.record()
	require.Equal(t, "still the first's", first.record().(datagram).payload)
	first.none()
}

func TestALaterStartIsNotOutlivedWhileItIsAway(t *testing.T) {
	d := newDesk(t, Config{})
	later := d.joinAs(key("a"), started(1, 2))
	public := later.bind(1, 0)
	later.leave()
	earlier := d.joinAs(key("a"), started(1, 1))
	ask := proto.Bind{Forward: 1, Host: "127.0.0.1", Port: public.Port()}
	require.Equal(t, proto.CodeOutlived, earlier.refusal(ask))
	require.Equal(t, public, d.join(key("a"), later.token).bind(1, public.Port()))
}

func TestASessionWhosePortsWereAllTakenEndsWithItsLanes(t *testing.T) {
	d := newDesk(t, Config{})
	first := d.joinAs(key("a"), started(1, 1))
	public := first.bind(1, 0)
	second := d.joinAs(key("a"), started(1, 2))
	second.bind(1, public.Port())
	first.leave()
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), first.token))

	// And at once if it has none.
	second.leave()
	third := d.joinAs(key("a"), started(1, 3))
	third.bind(1, public.Port())
	require.Equal(t, proto.CodeUnknownSession, d.refused(key("a"), second.token))
}

func TestWhoHasNoClaimToAPort(t *testing.T) {
	d := newDesk(t, Config{})
	holder := d.joinAs(key("a"), started(1, 5))
	public := holder.bind(1, 0)
	ask := proto.Bind{Forward: 1, Host: "127.0.0.1", Port: public.Port()}
	for name, other := range map[string]*agent{
		"the same generation":  d.joinAs(key("a"), started(1, 5)),
		"another agent":        d.joinAs(key("a"), started(2, 9)),
		"nobody in particular": d.joinAs(key("a"), proto.Hello{Generation: 9}),
		"another key":          d.joinAs(key("b"), started(1, 9)),
	} {
		require.Equal(t, proto.CodeInUse, other.refusal(ask), name)
	}
	// Agents that don't say who they are are not the same.
	unnamed := d.joinAs(key("c"), proto.Hello{Generation: 1})
	ask.Port = unnamed.bind(1, 0).Port()
	require.Equal(t, proto.CodeInUse, d.joinAs(key("c"), proto.Hello{Generation: 2}).refusal(ask))
}

func TestALaneReplacesTheOneWithItsNumber(t *testing.T) {
	d := newDesk(t, Config{})
	hello := func(token proto.Token, number uint8) proto.Hello { return proto.Hello{Session: token, Lane: number} }
	one := d.joinAs(key("a"), hello(proto.Token{}, 1))
	public := one.bind(1, 0)
	two := d.joinAs(key("a"), hello(one.token, 2))
	unnumbered := d.joinAs(key("a"), hello(one.token, 0))
	again := d.joinAs(key("a"), hello(one.token, 1))
	_ = one.awaitEnd()
	unnumbered.leave()
	d.joinAs(key("a"), hello(one.token, 0))
	two.sendRecord(proto.AppendMark(nil, 7))
	require.EqualValues(t, 7, two.record())
	require.Equal(t, public, again.bind(1, 0))
}

// A session that has all the lanes it may have takes new ones for old.
func TestALaneIsReplacedWhereThereIsRoomForNoOther(t *testing.T) {
	d := newDesk(t, Config{})
	first := d.joinAs(key("a"), proto.Hello{Lane: 1})
	for number := range uint8(lane.MaxLanes) {
		if number > 0 {
			d.joinAs(key("a"), proto.Hello{Session: first.token, Lane: number + 1})
		}
	}
	require.Eventually(t, func() bool { // its slot is free when it has ended
		_, welcome := d.greetAs(key("a"), proto.Hello{Session: first.token, Lane: 1})
		return welcome.Err() == nil
	}, patience, 10*tick)
	_ = first.awaitEnd()
}

// TestAnyPortIsNoAbsentAgents: who asks for no port in particular takes none away.
func TestAnyPortIsNoAbsentAgents(t *testing.T) {
	d := newDesk(t, Config{})
	absent := d.join(key("a"), proto.Token{})
	public := absent.bind(1, 0)
	absent.leave()
	peer := key("a")
	peer.Grant = grantFunc(func(host string, _ uint16, try func(string, uint16) (uint16, error)) (uint16, error) {
		_, err := try(host, public.Port())
		require.True(t, addressInUse(err))
		return try(host, 0)
	})
	require.NotEqual(t, public, d.join(peer, proto.Token{}).bind(1, 0))
	require.Equal(t, public, d.join(key("a"), absent.token).bind(1, 0))
}

func TestLocalhostIsBothFamiliesOrNothing(t *testing.T) {
	port := freePort(t)
	other, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback, Port: int(port)})
	require.NoError(t, err)
	defer func() { _ = other.Close() }()
	a := newDesk(t, Config{}).join(key("a"), proto.Token{})
	require.Equal(t, proto.CodeInUse, a.refusal(proto.Bind{Forward: 1, Host: "localhost", Port: port}))
	require.True(t, free(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)), "nothing is left of it")
	a.send(proto.Bind{Forward: 1, Host: "localhost"})
	require.IsType(t, proto.Bound{}, a.message())
}
