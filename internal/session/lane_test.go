package session

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/proto"
)

func TestServeRefusesWhatIsNoHello(t *testing.T) {
	d := newDesk(t, Config{})
	near, far := net.Pipe()
	ended := d.serve(near, key("a"))
	go func() { _, _ = far.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }()
	welcome, err := proto.ReadWelcome(far)
	require.NoError(t, err)
	require.Equal(t, proto.CodeMalformed, welcome.Code)
	require.ErrorIs(t, <-ended, proto.ErrMalformed)
}

func TestServeRefusesVersionsItDoesNotSpeak(t *testing.T) {
	d := newDesk(t, Config{})
	near, far := net.Pipe()
	ended := d.serve(near, key("a"))
	_, err := far.Write(proto.Hello{Version: 900, Lowest: 800}.Append(nil))
	require.NoError(t, err)
	welcome, err := proto.ReadWelcome(far)
	require.NoError(t, err)
	require.Equal(t, proto.CodeVersion, welcome.Code)
	require.Error(t, <-ended)
}

// TestServeEndsASessionWhoseAgentBreaksTheFormat, and tells it why.
func TestServeEndsASessionWhoseAgentBreaksTheFormat(t *testing.T) {
	for name, said := range map[string][]byte{
		"unknown message": {99, 0, 0},
		"too long":        {byte(proto.TypeBind), 0xff, 0xff},
		"a relay's":       proto.AppendMessage(nil, proto.Bound{Forward: 1, Port: 1}),
		"cut short":       {byte(proto.TypeUnbind), 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, Config{})
			a := d.join(key("a"), proto.Token{})
			public := a.bind(1, 0)
			_, err := a.mux.Control().Write(said)
			require.NoError(t, err)
			message := a.message().(proto.Close)
			require.Equal(t, proto.CodeMalformed, message.Code)
			require.NotEmpty(t, message.Text)
			a.awaitEnd()
			require.True(t, free(public))
		})
	}
}

// TestServeEndsASessionWithBrokenRecords: as with broken messages.
func TestServeEndsASessionWithBrokenRecords(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	b := d.join(key("a"), a.token)
	public := a.bind(1, 0)
	a.sendRecord([]byte{0xff, 0xf0, 0, 0}) // a datagram too long
	a.awaitEnd()
	require.Equal(t, proto.CodeMalformed, b.message().(proto.Close).Code)
	require.NoError(t, b.awaitEnd())
	require.True(t, free(public))
}

func TestServeEndsWithItsContext(t *testing.T) {
	d := newDesk(t, Config{})
	near, far := net.Pipe()
	defer far.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Serve(ctx, near, key("a")) }()
	cancel()
	require.Error(t, <-ended) // it never said hello
}

// unwilling is a channel whose peer takes nothing more from some moment on: as
// in x/crypto/ssh, writes then wait until the connection ends, and not only
// the channel.
type unwilling struct {
	net.Conn
	mu     sync.Mutex
	taking bool // guarded by mu
	ended  chan struct{}
	end    sync.Once
}

func (u *unwilling) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.taking = false
}

func (u *unwilling) Write(p []byte) (int, error) {
	u.mu.Lock()
	taking := u.taking
	u.mu.Unlock()
	if taking {
		return u.Conn.Write(p)
	}
	<-u.ended
	return 0, io.ErrClosedPipe
}

// endLink is Peer.Close.
func (u *unwilling) endLink() error {
	u.end.Do(func() { close(u.ended) })
	return nil
}

// TestAgentThatTakesNothingEndsWithItsSession: neither the session's end nor
// the relay's may wait for it.
func TestAgentThatTakesNothingEndsWithItsSession(t *testing.T) {
	d := newDesk(t, Config{})
	a := d.join(key("a"), proto.Token{})
	near, far := net.Pipe()
	channel := &unwilling{Conn: near, taking: true, ended: make(chan struct{})}
	peer := key("a")
	peer.Close = channel.endLink
	ended := d.serve(channel, peer)
	defer far.Close()
	_, err := far.Write(proto.Hello{Version: proto.Version, Lowest: proto.LowestVersion, Session: a.token}.Append(nil))
	require.NoError(t, err)
	_, err = proto.ReadWelcome(far)
	require.NoError(t, err)
	channel.stop()
	go func() {
		_, _ = far.Write([]byte{
			2, 0, 0, 0, 3, 0, 0, 0, 2, 2, 1, 0, 3, 0, 0, 0, byte(proto.KindControl),
			2, 0, 0, 0, 5, 0, 0, 0, 2, 2, 1, 0, 5, 0, 0, 0, byte(proto.KindRecords),
		})
	}()
	d.Registry.Close()
	<-ended
	require.Equal(t, proto.CodeClosing, a.message().(proto.Close).Code, "the other lane's agent gets to know")
}

// TestAgentThatStopsReadingDelaysNobody: what it doesn't take is dropped.
func TestAgentThatStopsReadingDelaysNobody(t *testing.T) {
	d := newDesk(t, Config{})
	deaf, welcome := d.greet(key("deaf"), proto.Token{})
	require.NoError(t, welcome.Err())
	// It opens its streams, asks for a port, and reads nothing more once it has
	// one.
	bound := make(chan struct{})
	go func() {
		b := make([]byte, 1000)
		for {
			select {
			case <-bound:
				return
			default:
			}
			if _, err := deaf.conn.Read(b); err != nil {
				return
			}
		}
	}()
	bind := proto.AppendMessage(nil, proto.Bind{Forward: 1, Host: "127.0.0.1"})
	opening := []byte{
		2, 0, 0, 0, 3, 0, 0, 0, 2, 2, byte(1 + len(bind)), 0, 3, 0, 0, 0, byte(proto.KindControl),
	}
	opening = append(append(opening, bind...), 2, 0, 0, 0, 5, 0, 0, 0, 2, 2, 1, 0, 5, 0, 0, 0, byte(proto.KindRecords))
	_, err := deaf.conn.Write(opening)
	require.NoError(t, err)
	var port uint16
	s := d.only()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if b := s.bindings[1]; b != nil {
			port = b.port
		}
		return port != 0
	}, patience, tick)
	close(bound)

	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	c, flood := client(t, public), client(t, withPort(public, port))
	for range 300 {
		say(t, flood, "nobody reads this")
		say(t, c, "x")
		if _, first := a.record().(proto.FlowHeader); first {
			a.record()
		}
	}
}
