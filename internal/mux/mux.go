// Package mux runs smux (version 2) over one SSH channel and gives a lane what
// it needs of it: a control stream, and a record stream with a shorter way.
//
// smux hands every write to a goroutine of its own and every read to another,
// which costs a lone datagram more than its encryption does. So the record
// stream's frames pass beside smux: the [Mux] writes them straight to the
// channel, between smux's own frames, and takes them out of what smux reads
// before smux sees them. On the wire it is plain smux; a peer that knows
// nothing of this works as well.
package mux

import (
	"errors"
	"fmt"
	"io"

	"github.com/xtaci/smux"

	"funnel/proto"
)

// ErrProtocol is wrapped by errors of a peer that broke smux's framing or
// opened streams it mustn't.
var ErrProtocol = errors.New("multiplexing protocol broken")

// Mux is one lane's multiplexer.
type Mux struct {
	wire    *wire
	session *smux.Session
	control *smux.Stream
}

// Receive is given each piece of the peer's record stream as it arrives, on
// the goroutine that reads the lane. It must not block, and p is the Mux's
// again when it returns. An error ends the Mux.
type Receive func(p []byte) error

// Open starts the agent's end: it opens the control stream and the record
// stream. The Mux owns channel from here on, on error too.
func Open(channel io.ReadWriteCloser, receive Receive) (*Mux, error) {
	w := newWire(channel, false, receive)
	session, err := smux.Client(w, smuxConfig())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start smux: %w", err), w.Close())
	}
	m := &Mux{wire: w, session: session}
	if err := m.openStreams(); err != nil {
		return nil, errors.Join(m.Cause(err), m.Close())
	}
	return m, nil
}

func (m *Mux) openStreams() error {
	control, err := m.session.OpenStream()
	if err != nil {
		return fmt.Errorf("open control stream: %w", err)
	}
	if _, err := control.Write([]byte{byte(proto.KindControl)}); err != nil {
		return fmt.Errorf("open control stream: %w", err)
	}
	m.control = control
	records, err := m.session.OpenStream()
	if err != nil {
		return fmt.Errorf("open record stream: %w", err)
	}
	// Before its first byte, so that no answer can come before we know it.
	m.wire.adopt(records.ID(), 1)
	if _, err := records.Write([]byte{byte(proto.KindRecords)}); err != nil {
		return fmt.Errorf("open record stream: %w", err)
	}
	m.wire.control.Store(control.ID())
	m.wire.update() // our window is larger than what smux starts with
	return nil
}

// Accept starts the relay's end: it waits until the agent has opened its
// control stream, which comes first. Until the record stream is there too,
// Room is 0. The Mux owns channel from here on, on error too; closing channel
// ends the wait.
func Accept(channel io.ReadWriteCloser, receive Receive) (*Mux, error) {
	w := newWire(channel, true, receive)
	session, err := smux.Server(w, smuxConfig())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start smux: %w", err), w.Close())
	}
	m := &Mux{wire: w, session: session}
	if err := m.acceptControl(); err != nil {
		return nil, errors.Join(fmt.Errorf("accept control stream: %w", m.Cause(err)), m.Close())
	}
	return m, nil
}

// acceptControl takes the first stream. The wire has made sure that it is the
// control stream, and keeps the others to itself.
func (m *Mux) acceptControl() error {
	stream, err := m.session.AcceptStream()
	if err != nil {
		return err
	}
	var kind [1]byte
	if _, err := io.ReadFull(stream, kind[:]); err != nil {
		return err
	}
	m.control = stream
	return nil
}

// Control is the control stream. Reads and writes may block as long as the
// Mux lives; Close ends them.
func (m *Mux) Control() io.ReadWriter { return m.control }

// Cause is what ended the Mux, better than the error a read or a write gives
// when the wire itself knows why it stopped.
func (m *Mux) Cause(err error) error { return m.wire.cause(err) }

// FrameSpace is how many bytes a buffer given to WriteFrame keeps free at its
// front.
const FrameSpace = frameHeader

// WriteFrame writes records as one frame, past smux. The first FrameSpace
// bytes of b are overwritten; the records, at most MaxFrame bytes, follow
// them. It blocks while the SSH channel does, and takes at most what Room
// last said. One goroutine at a time.
func (m *Mux) WriteFrame(b []byte) error { return m.wire.writeRecords(b) }

// Room is how many record bytes the peer takes now, at most MaxFrame.
func (m *Mux) Room() int { return m.wire.room() }

// OnRoom makes f be called when Room grows. f must not block. To be set
// before the first WriteFrame.
func (m *Mux) OnRoom(f func()) { m.wire.onRoom.Store(&f) }

// Close ends the Mux and closes the channel. The end of the lane shows first
// as an error of Control's Read; who sees that calls Close.
func (m *Mux) Close() error {
	err := m.session.Close()
	m.wire.Close()
	<-m.wire.updatesDone
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

func smuxConfig() *smux.Config {
	return &smux.Config{
		Version:           frameVersion, // version 1 lets one stopped reader stall all streams
		KeepAliveDisabled: true,         // SSH's own keepalive watches the link
		MaxFrameSize:      MaxFrame,
		MaxReceiveBuffer:  maxStreams * controlWindow,
		MaxStreamBuffer:   controlWindow,
	}
}
