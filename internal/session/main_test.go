package session

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/freeport"
	"funnel/internal/mux"
	"funnel/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come before it fails.
const patience = 20 * time.Second

// grantFunc is a Grant.
type grantFunc func(host string, port uint16, try func(string, uint16) (uint16, error)) (uint16, error)

func (f grantFunc) Bind(_, host string, port uint16, try func(string, uint16) (uint16, error)) (uint16, error) {
	return f(host, port, try)
}

// openGrant allows everything. Any port is one that nobody takes while it is free.
var openGrant = grantFunc(func(host string, port uint16, try func(string, uint16) (uint16, error)) (bound uint16, err error) {
	if port != 0 {
		return try(host, port)
	}
	for range 100 {
		if bound, err = try(host, freeport.Session.Next()); !addressInUse(err) {
			break
		}
	}
	return bound, err
})

// freePort is a port that nobody has at the moment.
func freePort(t testing.TB) uint16 {
	t.Helper()
	port, err := freeport.Session.Find(netip.Addr{})
	require.NoError(t, err)
	return port
}

// desk is a registry under test.
type desk struct {
	*Registry
	t    testing.TB
	wrap func(net.Conn) net.Conn // the relay's ends of lanes, unless nil
}

func newDesk(t testing.TB, config Config) *desk {
	config.MaxDelay = time.Hour // no test loses a datagram to a busy machine
	d := &desk{Registry: NewRegistry(config), t: t}
	t.Cleanup(d.Registry.Close)
	return d
}

// serve runs a lane's relay end on channel, and waits for it at the test's end.
func (d *desk) serve(channel io.ReadWriteCloser, peer Peer) (ended chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- d.Serve(ctx, channel, peer)
	}()
	d.t.Cleanup(func() { cancel(); <-done })
	return ended
}

// agent is the other end of a lane, by hand.
type agent struct {
	t     testing.TB
	conn  net.Conn
	ended chan error // of Serve
	token proto.Token

	mux      *mux.Mux
	messages chan proto.Message // closed at the control stream's end
	records  chan any           // a datagram, a proto.FlowHeader or a gone
	decoder  proto.Decoder
}

type datagram struct {
	flow, sequence uint32
	payload        string
}

type gone struct {
	flow   uint32
	reason proto.GoneReason
}

// The agent is its own proto.Receiver. A test that lets so much come that its
// channel overflows has other means.
func (a *agent) put(record any) {
	select {
	case a.records <- record:
	default:
	}
}
func (a *agent) Datagram(id, sequence uint32, payload []byte) {
	a.put(datagram{id, sequence, string(payload)})
}
func (a *agent) Flow(h proto.FlowHeader)                 { a.put(h) }
func (a *agent) Gone(id uint32, reason proto.GoneReason) { a.put(gone{id, reason}) }
func (a *agent) Mark(uint64)                             {}
func (a *agent) Echo(value uint64)                       { a.put(value) }

// key is an agent's key for tests, which may bind everything.
func key(name string) Peer { return Peer{Fingerprint: "SHA256:" + name, Name: name, Grant: openGrant} }

// greet says hello with a token.
func (d *desk) greet(peer Peer, token proto.Token) (*agent, proto.Welcome) {
	d.t.Helper()
	return d.greetAs(peer, proto.Hello{Session: token})
}

// greetAs says hello.
func (d *desk) greetAs(peer Peer, hello proto.Hello) (*agent, proto.Welcome) {
	d.t.Helper()
	hello.Version, hello.Lowest, hello.Name = proto.Version, proto.LowestVersion, "test"
	near, far := net.Pipe()
	if d.wrap != nil {
		near = d.wrap(near)
	}
	a := &agent{
		t: d.t, conn: far, messages: make(chan proto.Message, 100), records: make(chan any, 1000),
		ended: d.serve(near, peer),
	}
	d.t.Cleanup(func() { far.Close() })
	_, err := far.Write(hello.Append(nil))
	require.NoError(d.t, err)
	welcome, err := proto.ReadWelcome(far)
	require.NoError(d.t, err)
	a.token = welcome.Session
	return a, welcome
}

// refused is the code with which a hello with this token is refused.
func (d *desk) refused(peer Peer, token proto.Token) proto.Code {
	d.t.Helper()
	a, welcome := d.greet(peer, token)
	require.Error(d.t, welcome.Err())
	a.awaitEnd()
	return welcome.Code
}

// join opens a lane; the zero token begins a session.
func (d *desk) join(peer Peer, token proto.Token) *agent {
	d.t.Helper()
	return d.joinAs(peer, proto.Hello{Session: token})
}

// joinAs opens a lane with more to say about it.
func (d *desk) joinAs(peer Peer, hello proto.Hello) *agent {
	d.t.Helper()
	a, welcome := d.greetAs(peer, hello)
	require.NoError(d.t, welcome.Err())
	var err error
	a.mux, err = mux.Open(a.conn, func(p []byte) error { return a.decoder.Decode(p, a) })
	require.NoError(d.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(a.messages)
		for {
			message, err := proto.ReadMessage(a.mux.Control())
			if err != nil {
				return
			}
			a.messages <- message
		}
	}()
	d.t.Cleanup(func() { _ = a.mux.Close(); <-done })
	// The relay has the lane in its set when it answers.
	a.send(proto.Unbind{Forward: 1 << 31})
	require.IsType(d.t, proto.Unbound{}, a.message())
	return a
}

func (a *agent) send(m proto.Message) {
	a.t.Helper()
	_, err := a.mux.Control().Write(proto.AppendMessage(nil, m))
	require.NoError(a.t, err)
}

// message is the next control message, nil if the stream ends instead.
func (a *agent) message() proto.Message {
	a.t.Helper()
	select {
	case m := <-a.messages:
		return m
	case <-time.After(patience):
		require.Fail(a.t, "no control message came")
	}
	return nil
}

// record is the next record.
func (a *agent) record() any {
	a.t.Helper()
	select {
	case r := <-a.records:
		return r
	case <-time.After(patience):
		require.Fail(a.t, "no record came")
	}
	return nil
}

// none checks that no record has come: a mark goes round behind all that the
// relay had to send.
func (a *agent) none() {
	a.t.Helper()
	a.sendRecord(proto.AppendMark(nil, 4711))
	require.Equal(a.t, uint64(4711), a.record())
}

func (a *agent) sendRecord(b []byte) {
	a.t.Helper()
	require.NoError(a.t, a.mux.WriteFrame(append(make([]byte, mux.FrameSpace), b...)))
}

// bind binds a forward at loopback and returns where it is reached.
func (a *agent) bind(forward uint32, port uint16) netip.AddrPort {
	a.t.Helper()
	a.send(proto.Bind{Forward: forward, Host: "127.0.0.1", Port: port})
	bound, ok := a.message().(proto.Bound)
	require.True(a.t, ok)
	require.Equal(a.t, forward, bound.Forward)
	require.NotZero(a.t, bound.Port)
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), bound.Port)
}

// refusal asks for a forward and returns the code with which it is refused.
func (a *agent) refusal(m proto.Bind) proto.Code {
	a.t.Helper()
	a.send(m)
	refused, ok := a.message().(proto.Refused)
	require.True(a.t, ok)
	require.Equal(a.t, m.Forward, refused.Forward)
	require.NotEmpty(a.t, refused.Text)
	return refused.Code
}

// leave ends the lane without a word and waits until the relay has noticed.
func (a *agent) leave() {
	a.t.Helper()
	_ = a.mux.Close()
	a.awaitEnd()
}

func (a *agent) awaitEnd() error {
	a.t.Helper()
	select {
	case err := <-a.ended:
		return err
	case <-time.After(patience):
		require.Fail(a.t, "the relay doesn't end the lane")
	}
	return nil
}

// client is a client of a public socket.
func client(t testing.TB, public netip.AddrPort) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(public))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func say(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	_, err := conn.Write([]byte(text))
	require.NoError(t, err)
}

func hear(t testing.TB, conn net.Conn) string {
	t.Helper()
	b := make([]byte, 65536)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	n, err := conn.Read(b)
	require.NoError(t, err)
	return string(b[:n])
}

// free reports whether a UDP port of loopback is free.
func free(public netip.AddrPort) bool {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(public))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// only is the registry's only session.
func (d *desk) only() *Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Len(d.t, d.sessions, 1)
	for _, s := range d.sessions {
		return s
	}
	return nil
}

// tick is how often a condition is looked at that nothing tells about.
const tick = time.Millisecond

func withPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}
