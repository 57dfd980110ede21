package replay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
	"funnel/internal/freeport"
	"funnel/internal/obs"
	"funnel/internal/udpio"
	"funnel/proto"
)

// freePort is a port that nobody has at the moment, nor a flow's socket will have.
func freePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Replay.Find(netip.Addr{})
	require.NoError(t, err)
	return int(port)
}

func addressOf(conn *net.UDPConn) netip.AddrPort {
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestFlowsFollowTheirTarget: those that the old address answers stay there.
func TestFlowsFollowTheirTarget(t *testing.T) {
	before, f := server(t)
	after, _ := server(t)
	f.TargetHost = "localhost"
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
	r := d.accept(proto.Token{}, token)
	r.grant(27015)
	await(t, d.bound)
	name := d.targets[0]
	require.Eventually(t, func() bool { return name.current().IsValid() }, patience, tick)

	r.sendRecords(announce(7, 0), say(7, 1, "nobody answers"))
	hear(t, before)
	r.sendRecords(announce(8, 0), say(8, 1, "one answers"))
	_, client := hear(t, before)
	_, err := before.WriteToUDPAddrPort([]byte("answer"), client)
	require.NoError(t, err)
	require.Equal(t, datagram{8, 1, "answer"}, await(t, r.records))

	require.False(t, name.note(addressOf(before), nil))
	require.True(t, name.note(addressOf(after), nil))
	d.moved(0, addressOf(after))
	require.Equal(t, gone{7, proto.GoneIdle}, await(t, r.records))
	r.sendRecords(say(8, 2, "it goes on"))
	text, _ := hear(t, before)
	require.Equal(t, "it goes on", text)
	r.sendRecords(announce(9, 0), say(9, 1, "a new one"))
	text, _ = hear(t, after)
	require.Equal(t, "a new one", text)
}

// TestNameThatFailsIsToldOnce, and the address that it had still counts.
func TestNameThatFailsIsToldOnce(t *testing.T) {
	var text bytes.Buffer
	g := New(Config{Log: slog.New(slog.NewTextHandler(&text, nil)), Forwards: []forward.Forward{
		{Network: forward.UDP, TargetHost: "server.invalid", TargetPort: 1},
	}})
	defer g.close()
	name := g.targets[0]
	address := netip.MustParseAddrPort("192.0.2.1:1")
	for range 2 {
		require.False(t, name.note(address, nil))
		for range 10 {
			require.False(t, name.note(netip.AddrPort{}, errors.New("no such host")))
		}
		require.Equal(t, address, name.current())
	}
	require.Equal(t, 2, strings.Count(text.String(), "has no address"))
	require.Equal(t, 1, strings.Count(text.String(), "has an address again"))
}

// records is a log whose messages a test waits for.
type records struct {
	slog.Handler
	messages chan string
}

func (r records) Handle(_ context.Context, record slog.Record) error {
	r.messages <- record.Message
	return nil
}

func (r records) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// TestTargetWithoutServerIsToldOnce, by what the system says about the datagrams.
func TestTargetWithoutServerIsToldOnce(t *testing.T) {
	absent, f := serverAt(t, freePort(t))
	log := records{slog.DiscardHandler, make(chan string, 100)}
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1, Log: slog.New(log)})
	r := d.accept(proto.Token{}, token)
	r.grant(27015)
	await(t, d.bound)
	require.NoError(t, absent.Close())
	r.sendRecords(announce(1, 0), say(1, 1, "x"))
	require.Equal(t, "no server at the target", await(t, log.messages))
	for id := uint32(2); id < 10; id++ {
		r.sendRecords(announce(id, 0), say(id, 1, "x"))
	}
	back, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(f.TargetHost), f.TargetPort)))
	require.NoError(t, err)
	defer back.Close()
	r.sendRecords(announce(10, 0), say(10, 1, "ask"))
	text, client := hear(t, back)
	for text != "ask" { // the last of those before
		text, client = hear(t, back)
	}
	_, err = back.WriteToUDPAddrPort([]byte("answer"), client)
	require.NoError(t, err)
	require.Equal(t, datagram{10, 1, "answer"}, await(t, r.records))
	require.Empty(t, log.messages, "a server that comes and goes is told about for both once")
}

// TestNoSocketsIsToldOnce: an address that no socket can be connected to stands
// for descriptors or ports that have run out.
func TestNoSocketsIsToldOnce(t *testing.T) {
	broadcast := netip.MustParseAddrPort("255.255.255.255:1")
	if conn, err := udpio.Dial(broadcast, udpio.Options{}); err == nil {
		conn.Close()
		broadcast = netip.MustParseAddrPort("[fe80::1]:1") // without a zone
	}
	var text bytes.Buffer
	g := New(Config{Log: slog.New(slog.NewTextHandler(&text, nil)), Forwards: []forward.Forward{
		{Network: forward.UDP, TargetHost: broadcast.Addr().String(), TargetPort: 1},
	}})
	defer g.close()
	for id := range uint32(100) {
		_, reason, ok := g.open(proto.FlowHeader{Flow: id, Client: from}, proto.Token{}, 0)
		require.False(t, ok)
		require.Equal(t, obs.DropNoSocket, reason)
	}
	require.Equal(t, 1, strings.Count(text.String(), "flow has no socket"))
}
