package mux

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xtaci/smux"

	"funnel/proto"
)

// plainConfig is a peer that uses smux as it is, with the version that SPEC.md
// asks for and windows of its own choice.
func plainConfig(window int) *smux.Config {
	config := smux.DefaultConfig()
	config.Version = 2
	config.KeepAliveDisabled = true
	config.MaxStreamBuffer = window
	config.MaxReceiveBuffer = 4 * window
	return config
}

// TestMuxRelayServesAPlainClient: SPEC.md says that on the wire this is smux
// and nothing else; so an agent made with the library alone must do.
func TestMuxRelayServesAPlainClient(t *testing.T) {
	for _, window := range []int{64 << 10, 4 << 20} {
		const size = 2 << 20
		near, far := net.Pipe()
		client, err := smux.Client(far, plainConfig(window))
		require.NoError(t, err)
		defer client.Close()
		toRelay := newSink(size)
		opened := make(chan *smux.Stream, 2)
		go func() {
			defer close(opened) // who waits gets nil
			control, err := client.OpenStream()
			if err != nil {
				return
			}
			opened <- control
			if _, err := control.Write([]byte{byte(proto.KindControl)}); err != nil {
				return
			}
			records, err := client.OpenStream()
			if err != nil {
				return
			}
			if _, err := records.Write([]byte{byte(proto.KindRecords)}); err != nil {
				return
			}
			opened <- records
		}()
		m, err := Accept(near, toRelay.receive)
		require.NoError(t, err)
		defer m.Close()
		control, records := <-opened, <-opened
		require.NotNil(t, records)
		talk(t, m, toRelay, control, records, size)
	}
}

// TestMuxAgentIsServedByAPlainServer is the other way round.
func TestMuxAgentIsServedByAPlainServer(t *testing.T) {
	const size = 2 << 20
	near, far := net.Pipe()
	server, err := smux.Server(near, plainConfig(256<<10))
	require.NoError(t, err)
	defer server.Close()
	toAgent := newSink(size)
	opened := make(chan *Mux, 1)
	go func() {
		m, err := Open(far, toAgent.receive)
		if err != nil {
			m = nil
		}
		opened <- m
	}()
	streams := make([]*smux.Stream, 2)
	for i, kind := range []proto.Kind{proto.KindControl, proto.KindRecords} {
		streams[i], err = server.AcceptStream()
		require.NoError(t, err)
		var b [1]byte
		_, err = io.ReadFull(streams[i], b[:])
		require.NoError(t, err)
		require.EqualValues(t, kind, b[0])
	}
	m := <-opened
	require.NotNil(t, m)
	defer m.Close()
	talk(t, m, toAgent, streams[0], streams[1], size)
}

// talk exchanges control messages and size bytes of records, both ways at once,
// with a peer that has plain streams, which ends the lane then.
func talk(t *testing.T, m *Mux, in *sink, control, records *smux.Stream, size int) {
	t.Helper()
	sent := text(size)
	got := make(chan []byte, 2)
	read := func(r io.Reader, n int) {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			b = nil
		}
		got <- b
	}
	go func() { _, _ = records.Write(sent) }()
	go read(records, size)
	send(t, m, sent, MaxFrame)
	require.True(t, bytes.Equal(sent, in.await(t)))
	require.True(t, bytes.Equal(sent, <-got))

	message := proto.AppendMessage(nil, proto.Unbind{Forward: 1})
	go read(control, len(message))
	_, err := m.Control().Write(message)
	require.NoError(t, err)
	require.Equal(t, message, <-got)
	go func() { _, _ = control.Write(message) }()
	read(m.Control(), len(message))
	require.Equal(t, message, <-got)

	require.NoError(t, records.Close())
	_, err = m.Control().Read(make([]byte, 1))
	require.ErrorIs(t, m.Cause(err), io.EOF)
}
