package replay

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
	"funnel/proto"
)

// TestGroupEndsWhenItIsRefusedForGood: to ask again wouldn't help.
func TestGroupEndsWhenItIsRefusedForGood(t *testing.T) {
	for _, code := range []proto.Code{proto.CodeVersion, proto.CodeDenied, proto.CodeMalformed} {
		t.Run(code.String(), func(t *testing.T) {
			_, f := server(t)
			d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1})
			d.hello(proto.Welcome{Code: code, Text: "no"})
			err := await(t, d.ended)
			require.ErrorIs(t, err, &proto.Error{Code: code})
			require.True(t, isFinal(err))
		})
	}
}

// TestGroupSaysGoodbyeWhenOneLaneIsRefusedForGood: the others end, too.
func TestGroupSaysGoodbyeWhenOneLaneIsRefusedForGood(t *testing.T) {
	_, f := server(t)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 3})
	first := d.accept(proto.Token{}, token)
	first.grant(5)
	second := d.accept(token, token)
	d.hello(proto.Welcome{Code: proto.CodeDenied, Text: "two are enough"})
	var goodbye proto.Message
	select {
	case goodbye = <-first.messages:
	case goodbye = <-second.messages:
	case <-time.After(patience):
	}
	require.IsType(t, proto.Close{}, goodbye, "the relay frees the ports")
	first.cut()
	second.cut()
	require.EqualError(t, await(t, d.ended), "relay refused the lane: two are enough")
	require.EqualValues(t, 3, d.dials.Load())
}

// TestGroupTriesAgainAfterOtherRefusals, and knows them for what they are: the
// relay is left alone for longer each time.
func TestGroupTriesAgainAfterOtherRefusals(t *testing.T) {
	_, f := server(t)
	lost := make(chan error, 100)
	d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1, Lost: func(err error, _ time.Duration) { lost <- err }})
	refused := func() {
		t.Helper()
		err := await(t, lost)
		require.True(t, isRefusal(err), "%v", err)
		require.False(t, isFinal(err), "%v", err)
	}
	d.hello(proto.Welcome{Code: proto.CodeLimit, Text: "no"})
	refused()
	for _, answer := range [][]byte{
		[]byte("what is this"),
		proto.Welcome{Version: proto.Version + 1, Session: token}.Append(nil),
	} {
		conn := await(t, d.dialed)
		_, err := proto.ReadHello(conn)
		require.NoError(t, err)
		_, err = conn.Write(answer)
		require.NoError(t, err)
		refused()
		require.NoError(t, conn.Close())
	}
	r := d.accept(proto.Token{}, token)
	r.send(proto.Close{Code: proto.CodeDenied, Text: "access was revoked"})
	refused()
	r = d.accept(proto.Token{}, proto.Token{9})
	r.send(proto.Close{Code: proto.CodeClosing, Text: "the relay is shutting down"})
	require.False(t, isRefusal(await(t, lost)), "it is back in a moment")
	r = d.accept(proto.Token{}, proto.Token{10})
	r.cut()
	require.False(t, isRefusal(await(t, lost)), "a lane that broke")
	require.NoError(t, await(t, d.dialed).Close())
}
