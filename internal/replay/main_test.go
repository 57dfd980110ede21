package replay

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/forward"
	"funnel/internal/mux"
	"funnel/proto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come before it fails, and
// tick how often it looks where nothing tells.
const (
	patience = 20 * time.Second
	tick     = time.Millisecond
)

// desk is a group under test and the relay's side of it, which the test plays.
type desk struct {
	*Group
	t       testing.TB
	dialed  chan net.Conn // the relay's ends of the lanes' channels
	dials   atomic.Int32
	bound   chan netip.AddrPort
	refused chan error
	down    chan error
	ended   chan error // what Run returned
	stop    func()     // the group, and waits

	mu    sync.Mutex
	lines []*doubt // of each lane that was dialled; guarded by mu
}

// doubt is whether a lane may be dead.
type doubt struct {
	mu      sync.Mutex
	there   bool
	changed chan struct{}
}

func (d *doubt) doubtful() (bool, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.there, d.changed
}

// arise has the lane be dialled beside.
func (d *doubt) arise() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.there = true
	close(d.changed)
	d.changed = make(chan struct{})
}

func newDesk(t testing.TB, config Config) *desk {
	d := &desk{
		t: t, dialed: make(chan net.Conn), bound: make(chan netip.AddrPort, 100),
		refused: make(chan error, 100), down: make(chan error, 100), ended: make(chan error, 1),
	}
	config.Dial = func(ctx context.Context, _ func()) (*Lane, error) {
		d.dials.Add(1)
		first, err := d.open(ctx)
		if err != nil {
			return nil, err
		}
		line := &doubt{changed: make(chan struct{})}
		d.mu.Lock()
		d.lines = append(d.lines, line)
		d.mu.Unlock()
		linkCtx, end := context.WithCancel(context.Background())
		context.AfterFunc(linkCtx, func() { first.Close() })
		return &Lane{
			Channel: first, End: func() error { end(); return nil }, Doubtful: line.doubtful,
			Another: func() (io.ReadWriteCloser, error) {
				another, err := d.open(linkCtx)
				if err == nil {
					context.AfterFunc(linkCtx, func() { another.Close() })
				}
				return another, err
			},
		}, nil
	}
	config.MaxDelay = time.Hour // no test loses a datagram to a busy machine
	config.Bound = func(_ int, public netip.AddrPort) { d.bound <- public }
	config.Refused = func(_ int, err error) { d.refused <- err }
	config.Down = func(err error) { d.down <- err }
	d.Group = New(config)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.ended <- d.Run(ctx)
	}()
	d.stop = func() { cancel(); <-ended }
	t.Cleanup(d.stop)
	return d
}

// open makes a channel whose other end the test takes from dialed.
func (d *desk) open(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case d.dialed <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// await gets the next of what comes.
func await[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		require.Fail(t, "what was awaited didn't come")
	}
	panic("unreachable")
}

// relay is the relay's end of a lane.
type relay struct {
	t        testing.TB
	mux      *mux.Mux
	messages chan proto.Message // closed at the lane's end
	records  chan any
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

// The relay is its own proto.Receiver.
func (r *relay) put(record any) {
	select {
	case r.records <- record:
	default:
	}
}
func (r *relay) Datagram(id, sequence uint32, payload []byte) {
	r.put(datagram{id, sequence, string(payload)})
}
func (r *relay) Flow(h proto.FlowHeader)                 { r.put(h) }
func (r *relay) Gone(id uint32, reason proto.GoneReason) { r.put(gone{id, reason}) }
func (r *relay) Mark(uint64)                             {}
func (r *relay) Echo(value uint64)                       { r.put(value) }

var token = proto.Token{1, 2, 3}

// hello takes the next lane's hello, and answers with welcome.
func (d *desk) hello(welcome proto.Welcome) (net.Conn, proto.Hello) {
	d.t.Helper()
	conn := await(d.t, d.dialed)
	d.t.Cleanup(func() { conn.Close() })
	hello, err := proto.ReadHello(conn)
	require.NoError(d.t, err)
	welcome.Version = proto.Version
	_, err = conn.Write(welcome.Append(nil))
	require.NoError(d.t, err)
	return conn, hello
}

// accept takes the next lane, which asks for the session asked.
func (d *desk) accept(asked, session proto.Token) *relay {
	d.t.Helper()
	conn, hello := d.hello(proto.Welcome{Session: session})
	require.Equal(d.t, asked, hello.Session)
	r := &relay{t: d.t, messages: make(chan proto.Message, 100), records: make(chan any, 1000)}
	var err error
	r.mux, err = mux.Accept(conn, func(p []byte) error { return r.decoder.Decode(p, r) })
	require.NoError(d.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(r.messages)
		for {
			message, err := proto.ReadMessage(r.mux.Control())
			if err != nil {
				return
			}
			r.messages <- message
		}
	}()
	d.t.Cleanup(func() { r.cut(); <-done })
	r.sync() // from here on it answers
	return r
}

func (r *relay) cut() { _ = r.mux.Close() }

func (r *relay) send(m proto.Message) {
	r.t.Helper()
	_, err := r.mux.Control().Write(proto.AppendMessage(nil, m))
	require.NoError(r.t, err)
}

// sendRecords sends records when the agent's record stream is there.
func (r *relay) sendRecords(records ...[]byte) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.mux.Room() > 0 }, patience, tick)
	b := make([]byte, mux.FrameSpace)
	for _, record := range records {
		b = append(b, record...)
	}
	require.NoError(r.t, r.mux.WriteFrame(b))
}

// grant answers the next bind.
func (r *relay) grant(port uint16) proto.Bind {
	r.t.Helper()
	bind, ok := await(r.t, r.messages).(proto.Bind)
	require.True(r.t, ok)
	r.send(proto.Bound{Forward: bind.Forward, Host: bind.Host, Port: port})
	return bind
}

// sync waits until all that was sent on the record stream has been dealt with.
// A lane that has just begun may leave a mark unanswered.
func (r *relay) sync() {
	r.t.Helper()
	deadline := time.After(patience)
	for mark := uint64(1); ; mark++ {
		r.sendRecords(proto.AppendMark(nil, mark))
		again := time.After(100 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case echo := <-r.records:
				require.IsType(r.t, mark, echo)
				if echo == mark {
					return
				}
			case <-again:
				waiting = false
			case <-deadline:
				require.Fail(r.t, "no mark was answered")
			}
		}
	}
}

var from = netip.MustParseAddrPort("203.0.113.9:50000")

func announce(id, forward uint32) []byte {
	return proto.AppendFlow(nil, proto.FlowHeader{Flow: id, Forward: forward, Client: from})
}

func say(id, sequence uint32, text string) []byte {
	return proto.AppendDatagram(nil, id, sequence, []byte(text))
}

// server is a target.
func server(t testing.TB) (*net.UDPConn, forward.Forward) {
	t.Helper()
	return serverAt(t, 0)
}

// serverAt is a target at a port.
func serverAt(t testing.TB, port int) (*net.UDPConn, forward.Forward) {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	at := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return conn, forward.Forward{Network: forward.UDP, TargetHost: "127.0.0.1", TargetPort: at}
}

func hear(t testing.TB, conn *net.UDPConn) (string, netip.AddrPort) {
	t.Helper()
	b := make([]byte, 65536)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	n, from, err := conn.ReadFromUDPAddrPort(b)
	require.NoError(t, err)
	return string(b[:n]), from
}
