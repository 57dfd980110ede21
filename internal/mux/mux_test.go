package mux

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/proto"
)

func TestMuxCarriesBothStreamsBothWays(t *testing.T) {
	const size = 3 << 20 // more than the window
	near, far := net.Pipe()
	toRelay, toAgent := newSink(size), newSink(size)
	p := newPair(t, near, far, toRelay.receive, toAgent.receive)
	sent := text(size)
	go func() { _, _ = p.agent.Control().Write([]byte("to the relay")) }()
	b := make([]byte, 12)
	_, err := io.ReadFull(p.relay.Control(), b)
	require.NoError(t, err)
	require.Equal(t, "to the relay", string(b))
	done := make(chan struct{})
	go func() { defer close(done); send(t, p.agent, sent, MaxFrame) }()
	send(t, p.relay, sent, 1000)
	<-done
	require.True(t, bytes.Equal(sent, toRelay.await(t)))
	require.True(t, bytes.Equal(sent, toAgent.await(t)))
	go func() { _, _ = p.relay.Control().Write([]byte("to the agent")) }()
	_, err = io.ReadFull(p.agent.Control(), b)
	require.NoError(t, err)
	require.Equal(t, "to the agent", string(b))
}

// TestMuxSaysWhatTheSpecificationShows: the agent's first bytes are those of
// SPEC.md, section 5.
func TestMuxSaysWhatTheSpecificationShows(t *testing.T) {
	channel := newTape(nil, 0, len(opening())+16)
	m, err := Open(channel, func([]byte) error { return nil })
	require.NoError(t, err)
	_, err = io.ReadAll(m.Control())
	require.NoError(t, err)
	require.NoError(t, m.Close())
	said := channel.written.Bytes()
	require.Equal(t, opening(), said[:len(opening())])
	require.Equal(t, updateOf(recordStream, 0, recordWindow), said[len(opening()):])
}

// TestMuxTakesFramesCutAnywhere: in two at every place, and into single bytes.
func TestMuxTakesFramesCutAnywhere(t *testing.T) {
	message := proto.AppendMessage(nil, proto.Unbind{Forward: 1})
	said := bytes.Join([][]byte{
		opening(),
		updateOf(recordStream, 0, recordWindow),
		frameOf(commandPush, recordStream, text(40)...),
		frameOf(commandPush, controlStream, message...),
		frameOf(commandPush, recordStream),
		frameOf(commandNothing, 0),
		frameOf(commandPush, 77, 1, 2, 3), // a stream that isn't open
		frameOf(commandFinish, 77),
		updateOf(77, 5, 5),
		frameOf(commandPush, recordStream, text(20)...),
		frameOf(commandFinish, controlStream),
	}, nil)
	want := heard{control: message, records: append(text(40), text(20)...), err: io.EOF}
	for cut := 1; cut <= len(said); cut++ {
		require.Equalf(t, want, listen(t, Accept, newTape(said, cut, 0)), "pieces of %d", cut)
	}
	for cut := range said {
		channel := io.MultiReader(bytes.NewReader(said[:cut]), bytes.NewReader(said[cut:]))
		require.Equalf(t, want, listen(t, Accept, struct {
			io.Reader
			io.WriteCloser
		}{channel, newTape(nil, 0, 0)}), "cut at %d", cut)
	}
}

// TestMuxEndsWhereTheChannelDoes: at every byte, on either side.
func TestMuxEndsWhereTheChannelDoes(t *testing.T) {
	said := append(opening(), frameOf(commandPush, recordStream, text(40)...)...)
	for end := range said {
		h := listen(t, Accept, newTape(said[:end], 0, 0))
		require.Error(t, h.err, "end at %d", end)
		require.False(t, errors.Is(h.err, ErrProtocol), "end at %d: %v", end, h.err)
	}
	answer := append(updateOf(recordStream, 1, recordWindow), frameOf(commandPush, recordStream, text(40)...)...)
	for end := range answer {
		require.Error(t, listen(t, Open, newTape(answer[:end], 0, len(opening()))).err, "end at %d", end)
	}
}

func TestMuxRelayEndsALaneThatBreaksTheRules(t *testing.T) {
	join := func(frames ...[]byte) []byte { return bytes.Join(frames, nil) }
	streams := opening()
	for extra := range uint32(maxStreams - 1) {
		streams = append(streams, frameOf(commandOpen, 7+2*extra)...)
	}
	control := join(frameOf(commandOpen, 3), frameOf(commandPush, 3, byte(proto.KindControl)))
	for name, said := range map[string][]byte{
		"version 1":              {1, 0, 0, 0, 3, 0, 0, 0},
		"not smux at all":        []byte("GET / HTTP/1.1\r\n\r\n"),
		"unknown command":        frameOf(9, 3),
		"records first":          join(frameOf(commandOpen, 3), frameOf(commandPush, 3, byte(proto.KindRecords))),
		"stream 0":               frameOf(commandOpen, 0),
		"unknown kind":           join(frameOf(commandOpen, 3), frameOf(commandPush, 3, 77)),
		"unknown kind, later":    join(control, frameOf(commandOpen, 5), frameOf(commandPush, 5, 77)),
		"two control streams":    join(control, frameOf(commandOpen, 5), frameOf(commandPush, 5, byte(proto.KindControl))),
		"two record streams":     join(opening(), frameOf(commandOpen, 7), frameOf(commandPush, 7, byte(proto.KindRecords))),
		"too many streams":       streams,
		"record stream reopened": join(opening(), frameOf(commandOpen, recordStream)),
		"short update":           join(opening(), frameOf(commandUpdate, recordStream, 1, 2, 3, 4)),
		"short update, control":  join(opening(), frameOf(commandUpdate, controlStream, 1, 2, 3, 4)),
		"SYN with a payload":     join(control, frameOf(commandOpen, 5, 1)),
		"NOP with a payload":     join(control, frameOf(commandNothing, 0, 1)),
		"NOP, record stream":     join(opening(), frameOf(commandNothing, recordStream, 1)),
		"FIN with a payload":     join(control, frameOf(commandFinish, 3, 1)),
	} {
		t.Run(name, func(t *testing.T) {
			// What follows would be fine.
			h := listen(t, Accept, newTape(append(said, frameOf(commandPush, recordStream, text(9)...)...), 0, 0))
			require.Error(t, h.err)
			require.False(t, errors.Is(h.err, io.EOF), h.err.Error())
			require.Empty(t, h.records)
		})
	}
}

// TestMuxRelayWaitsForNoOtherStream: an agent that opens something before its
// control stream would have it wait for a first byte there.
func TestMuxRelayWaitsForNoOtherStream(t *testing.T) {
	said := bytes.Join([][]byte{
		frameOf(commandOpen, 5), frameOf(commandOpen, 3), frameOf(commandPush, 3, byte(proto.KindControl)),
	}, nil)
	require.ErrorIs(t, listen(t, Accept, newTape(said, 0, 0)).err, ErrProtocol)
}

// TestMuxTakesWhatTheRulesAllow: these look like trouble and are none.
func TestMuxTakesWhatTheRulesAllow(t *testing.T) {
	spare := opening()
	for extra := range uint32(maxStreams - 2) {
		spare = append(spare, frameOf(commandOpen, 7+2*extra)...)
	}
	for name, said := range map[string][]byte{
		"as many streams as allowed": spare,
		"kind and data together": bytes.Join([][]byte{
			frameOf(commandOpen, 3), frameOf(commandPush, 3, byte(proto.KindControl)),
			frameOf(commandOpen, 5), frameOf(commandPush, 5),
			frameOf(commandPush, 5, append([]byte{byte(proto.KindRecords)}, text(7)...)...),
		}, nil),
		"other ids": bytes.Join([][]byte{
			frameOf(commandOpen, 1), frameOf(commandPush, 1, byte(proto.KindControl)),
			frameOf(commandOpen, 1<<31), frameOf(commandPush, 1<<31, byte(proto.KindRecords)),
		}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			h := listen(t, Accept, newTape(said, 0, 0))
			require.ErrorIs(t, h.err, io.EOF)
		})
	}
}

func TestMuxAgentEndsALaneThatBreaksTheRules(t *testing.T) {
	for name, said := range map[string][]byte{
		"version 1":              {1, 2, 0, 0, 3, 0, 0, 0},
		"unknown command":        frameOf(9, controlStream),
		"a stream":               frameOf(commandOpen, 2),
		"record stream reopened": frameOf(commandOpen, recordStream),
		"short update":           frameOf(commandUpdate, recordStream, 1, 2, 3, 4),
	} {
		t.Run(name, func(t *testing.T) {
			h := listen(t, Open, newTape(append(said, frameOf(commandPush, recordStream, text(9)...)...), 0, len(opening())))
			require.Error(t, h.err)
			require.False(t, errors.Is(h.err, io.EOF), h.err.Error())
			require.Empty(t, h.records)
		})
	}
}

func TestMuxEndsWithEitherStream(t *testing.T) {
	for name, stream := range map[string]uint32{"control": controlStream, "records": recordStream} {
		for side, start := range map[string]func(io.ReadWriteCloser, Receive) (*Mux, error){"relay": Accept, "agent": Open} {
			t.Run(name+" at the "+side, func(t *testing.T) {
				said, after := frameOf(commandFinish, stream), len(opening())
				if side == "relay" {
					said, after = append(opening(), said...), 0
				}
				// The peer has finished, but its channel stays.
				near, far := net.Pipe()
				defer far.Close()
				go func() { _, _ = io.Copy(io.Discard, far) }()
				rest := newTape(said, 0, after)
				channel := struct {
					io.Reader
					io.WriteCloser
				}{io.MultiReader(rest, near), writers{near, rest}}
				h := listen(t, start, channel)
				require.ErrorIs(t, h.err, io.EOF)
			})
		}
	}
}

// writers writes to both, and is closed with both.
type writers struct{ a, b io.WriteCloser }

func (w writers) Write(p []byte) (int, error) {
	if n, err := w.a.Write(p); err != nil {
		return n, err
	}
	return w.b.Write(p)
}

func (w writers) Close() error { return errors.Join(w.a.Close(), w.b.Close()) }

// TestMuxMindsThePeersWindow: it stops at its end and goes on when it moves.
func TestMuxMindsThePeersWindow(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go func() { _, _ = far.Write(opening()) }()
	taken := make(chan int, 1000)
	go func() {
		b := make([]byte, frameHeader)
		for {
			if _, err := io.ReadFull(far, b); err != nil {
				close(taken)
				return
			}
			f, _ := parseFrame(b)
			if _, err := io.CopyN(io.Discard, far, int64(f.length)); err != nil {
				close(taken)
				return
			}
			if f.command == commandPush && f.stream == recordStream {
				taken <- f.length
			}
		}
	}()
	m, err := Accept(near, func([]byte) error { return nil })
	require.NoError(t, err)
	defer m.Close()
	awaitRoom(t, m, 1)
	fill := func() (sent int) {
		for m.Room() > 0 {
			n := m.Room()
			require.LessOrEqual(t, n, MaxFrame)
			require.NoError(t, m.WriteFrame(make([]byte, FrameSpace+n)))
			require.Equal(t, n, <-taken)
			sent += n
		}
		return sent
	}
	require.Equal(t, initialWindow, fill())
	update := func(consumed, window uint32) {
		grown := make(chan struct{}, 1)
		m.OnRoom(func() { grown <- struct{}{} })
		_, err := far.Write(updateOf(recordStream, consumed, window))
		require.NoError(t, err)
		<-grown
	}
	update(1000, initialWindow)
	require.Equal(t, 1000, fill())
	update(1000, initialWindow+5000)
	require.Equal(t, 5000, fill())
	update(2000, 1000) // a window that shrinks
	require.Zero(t, m.Room())
	update(initialWindow+6000, 1000)
	require.Equal(t, 1000, fill())
	update(1<<31, 1<<32-1) // nonsense gains no more than a frame at once
	require.LessOrEqual(t, m.Room(), MaxFrame)
}

// TestWireCountsWrap: they are modulo 2^32.
func TestWireCountsWrap(t *testing.T) {
	w := &wire{channel: newTape(nil, 0, 0), updates: make(chan struct{}, 1)}
	w.adopt(recordStream, 1<<32-100)
	w.peerConsumed.Store(1<<32 - 100)
	w.peerWindow.Store(1000)
	require.Equal(t, 1000, w.room())
	require.NoError(t, w.writeRecords(make([]byte, frameHeader+600)))
	require.EqualValues(t, 500, w.sent.Load())
	require.Equal(t, 400, w.room())
	w.peerConsumed.Store(200)
	require.Equal(t, 700, w.room())

	w.consumed.Store(1<<32 - 10)
	w.consume(5)
	require.Empty(t, w.updates)
	w.consume(20)
	require.EqualValues(t, 15, w.consumed.Load())
	require.Len(t, w.updates, 1, "the peer is to be told")
}
