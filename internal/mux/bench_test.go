package mux

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkWriteFrame is a frame with one datagram of a game, written to a
// peer's window without end.
func BenchmarkWriteFrame(b *testing.B) {
	b.ReportAllocs()
	w := &wire{channel: struct {
		io.Reader
		io.Writer
		io.Closer
	}{nil, io.Discard, nil}}
	w.adopt(recordStream, 0)
	m := &Mux{wire: w}
	frame := make([]byte, FrameSpace+210)
	for range b.N {
		if err := m.WriteFrame(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadFrame is the same frame read.
func BenchmarkReadFrame(b *testing.B) {
	b.ReportAllocs()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	one := frameOf(commandPush, recordStream, make([]byte, 210)...)
	var many []byte
	for range 100 {
		many = append(many, one...)
	}
	go func() {
		for {
			if _, err := far.Write(many); err != nil {
				return
			}
		}
	}()
	n := 0
	w := &wire{channel: near, in: make([]byte, readBuffer), updates: make(chan struct{}, 1), receive: func(p []byte) error {
		if n += len(p); n >= b.N*210 {
			return io.EOF
		}
		return nil
	}}
	w.adopt(recordStream, 0)
	_, err := w.Read(make([]byte, 100))
	require.ErrorIs(b, err, io.EOF)
}
