package replay

import (
	"io"
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

// TestGroupTriesAgainAfterOtherEnds, and tells those that it has to wait for from
// those that just happen.
func TestGroupTriesAgainAfterOtherEnds(t *testing.T) {
	// raw answers the hello with what may be no welcome.
	raw := func(answer []byte) func(*desk) {
		return func(d *desk) {
			conn := await(d.t, d.dialed)
			d.t.Cleanup(func() { conn.Close() })
			_, err := proto.ReadHello(conn)
			require.NoError(d.t, err)
			_, err = conn.Write(answer)
			require.NoError(d.t, err)
		}
	}
	for name, test := range map[string]struct {
		end      func(*desk)
		unwanted bool
	}{
		"a refusal":       {func(d *desk) { d.hello(proto.Welcome{Code: proto.CodeLimit, Text: "no"}) }, true},
		"no welcome":      {raw([]byte("what is this")), true},
		"another version": {raw(proto.Welcome{Version: proto.Version + 1, Session: token}.Append(nil)), true},
		"an echo": {func(d *desk) {
			conn, _ := d.hello(proto.Welcome{Session: token})
			go func() {
				_, _ = io.CopyN(conn, conn, 8) // a SYN, which a relay must not send
				_, _ = io.Copy(io.Discard, conn)
			}()
		}, true},
		"a close": {func(d *desk) {
			d.accept(proto.Token{}, token).send(proto.Close{Code: proto.CodeDenied, Text: "access was revoked"})
		}, true},
		"a close of a relay that is back in a moment": {func(d *desk) {
			d.accept(proto.Token{}, token).send(proto.Close{Code: proto.CodeClosing, Text: "the relay is shutting down"})
		}, false},
		"a broken line": {func(d *desk) { d.accept(proto.Token{}, token).cut() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, f := server(t)
			lost := make(chan error, 100)
			d := newDesk(t, Config{Forwards: []forward.Forward{f}, Lanes: 1, Lost: func(err error, _ time.Duration) { lost <- err }})
			test.end(d)
			err := await(t, lost)
			require.Equal(t, test.unwanted, isUnwanted(err), "%v", err)
			require.False(t, isFinal(err), "%v", err)
			require.NoError(t, await(t, d.dialed).Close())
		})
	}
}
