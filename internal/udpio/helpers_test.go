package udpio

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/freeport"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// patience bounds how long a test waits for what should come at once.
const patience = 20 * time.Second

// engines are the ways to move datagrams; the second is that of other systems.
var engines = []struct {
	name    string
	options Options
}{
	{name: "system"},
	{name: "portable", options: Options{portable: true}},
	{name: "unsegmented", options: Options{noSegmentation: true}},
}

// forEachEngine runs test with each engine.
func forEachEngine(t *testing.T, test func(t *testing.T, options Options)) {
	for _, engine := range engines {
		t.Run(engine.name, func(t *testing.T) { test(t, engine.options) })
	}
}

var (
	loopback4 = netip.MustParseAddr("127.0.0.1")
	loopback6 = netip.IPv6Loopback()
	anywhere  = netip.Addr{}
)

// listen opens a socket that is closed when the test ends.
func listen(tb testing.TB, network string, address netip.Addr, options Options) *Conn {
	tb.Helper()
	c, err := Listen(network, netip.AddrPortFrom(address, 0), options)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	require.NoError(tb, c.socket.SetReadDeadline(time.Now().Add(patience)))
	return c
}

// freePort is a port that nobody has at the moment.
func freePort(tb testing.TB) uint16 {
	tb.Helper()
	port, err := freeport.UDPIO.Find(netip.Addr{})
	require.NoError(tb, err)
	return port
}

// dial opens a connected socket that is closed when the test ends.
func dial(tb testing.TB, target netip.AddrPort, options Options) *Conn {
	tb.Helper()
	c, err := Dial(target, options)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = c.Close() })
	require.NoError(tb, c.socket.SetReadDeadline(time.Now().Add(patience)))
	return c
}

// received is a Message that outlives its batch.
type received struct {
	data   string
	remote netip.AddrPort
	local  netip.Addr
}

// receive waits for n datagrams.
func receive(tb testing.TB, c *Conn, n int) []received {
	tb.Helper()
	var all []received
	for len(all) < n {
		require.NoError(tb, c.Receive(func(messages []Message) {
			for _, m := range messages {
				all = append(all, received{data: string(m.Data), remote: m.Remote, local: m.Local})
			}
		}))
	}
	require.Len(tb, all, n)
	return all
}

// send sends one datagram, which the kernel must take.
func send(tb testing.TB, c *Conn, data string, remote netip.AddrPort, local netip.Addr) {
	tb.Helper()
	s := NewSender()
	s.Add(c, []byte(data), remote, local)
	sent, dropped := s.Flush()
	require.Equal(tb, 1, sent)
	require.Zero(tb, dropped)
}
