package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"funnel/proto"
)

// wire is the connection smux runs on. What it lets smux see is the channel
// without the record stream's payload and window updates.
type wire struct {
	channel io.ReadWriteCloser
	receive Receive
	accepts bool // the peer opens the streams: we are the relay

	// Owned by Read, which smux's reading goroutine calls.
	in          []byte // buf[start:end] is unread
	start, end  int
	pass        int    // bytes of the current frame still to give to smux
	take        int    // bytes of the current frame still to give to receive
	opened      int    // streams the peer has opened
	first       uint32 // the first of them, which acceptControl waits for
	controlSeen bool
	over        bool                // the channel is at its end
	waiting     map[uint32]struct{} // streams whose first byte is still to come

	control  atomic.Uint32 // the control stream, 0 until it is open
	records  atomic.Uint32 // the record stream, 0 until there is one
	consumed atomic.Uint32 // bytes of it read since it began

	writing sync.Mutex // held around each write to channel, which takes one writer
	out     []byte     // guarded by writing; smux's frames are put together here

	// Flow control of what we send on the record stream, modulo 2^32.
	sent         atomic.Uint32
	peerConsumed atomic.Uint32
	peerWindow   atomic.Uint32
	onRoom       atomic.Pointer[func()]

	updates     chan struct{} // one slot: a window update is due
	updatesDone chan struct{}
	closed      chan struct{}
	closeOnce   sync.Once
	closeErr    error

	failMu sync.Mutex
	failed error // why Read gave up, if by itself
}

// newWire starts the goroutine that sends window updates; Close ends it.
func newWire(channel io.ReadWriteCloser, accepts bool, receive Receive) *wire {
	w := &wire{
		channel:     channel,
		receive:     receive,
		accepts:     accepts,
		in:          make([]byte, readBuffer),
		waiting:     make(map[uint32]struct{}),
		updates:     make(chan struct{}, 1),
		updatesDone: make(chan struct{}),
		closed:      make(chan struct{}),
	}
	w.peerWindow.Store(initialWindow)
	go w.runUpdates()
	return w
}

// Read gives smux the next bytes that are meant for it, and on the way gives
// receive the records.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		w.fail(err)
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	for {
		switch {
		case w.take > 0:
			if err := w.takeRecords(); err != nil {
				return 0, err
			}
		case w.pass > 0:
			if w.start == w.end {
				if err := w.fill(1); err != nil {
					return 0, err
				}
			}
			n := copy(p, w.in[w.start:min(w.end, w.start+w.pass)])
			w.start += n
			w.pass -= n
			return n, nil
		case w.over:
			<-w.closed
			return 0, io.EOF
		default:
			err := w.nextFrame()
			if errors.Is(err, io.EOF) && w.control.Load() != 0 {
				w.finish()
				continue
			}
			if err != nil {
				return 0, err
			}
		}
	}
}

// finish shows the end of the lane to smux as the end of the control stream.
// At the end of its connection smux may forget what it has read already, and
// the last control message is the one that says why the lane ends.
func (w *wire) finish() {
	w.over = true
	putFrame(w.in, frame{command: commandFinish, stream: w.control.Load()})
	w.start, w.end, w.pass = 0, frameHeader, frameHeader
}

// fill reads until at least n bytes are there.
func (w *wire) fill(n int) error {
	if w.start == w.end {
		w.start, w.end = 0, 0
	}
	for w.end-w.start < n {
		if len(w.in)-w.start < n {
			w.end = copy(w.in, w.in[w.start:w.end])
			w.start = 0
		}
		got, err := w.channel.Read(w.in[w.end:])
		w.end += got
		if err != nil && w.end-w.start < n {
			if err == io.EOF && w.end > w.start {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// takeRecords gives receive what is there of the current frame.
func (w *wire) takeRecords() error {
	if w.start == w.end {
		if err := w.fill(1); err != nil {
			return err
		}
	}
	n := min(w.take, w.end-w.start)
	piece := w.in[w.start : w.start+n]
	w.start += n
	w.take -= n
	err := w.receive(piece)
	w.consume(n)
	return err
}

// consume counts n bytes of the record stream as read and has the peer told
// when windowStep is full.
func (w *wire) consume(n int) {
	after := w.consumed.Add(uint32(n))                    // #nosec G115 -- counts bytes and wraps
	if after/windowStep != (after-uint32(n))/windowStep { // #nosec G115 -- likewise
		w.update()
	}
}

func (w *wire) update() {
	select {
	case w.updates <- struct{}{}:
	default:
	}
}

// nextFrame reads a frame's header and decides whose the frame is.
func (w *wire) nextFrame() error {
	if err := w.fill(frameHeader); err != nil {
		return err
	}
	f, err := parseFrame(w.in[w.start:])
	if err != nil {
		return err
	}
	if f.stream != 0 && f.stream == w.records.Load() {
		return w.recordFrame(f)
	}
	switch f.command {
	case commandOpen:
		if err := w.opening(f); err != nil {
			return err
		}
	case commandPush:
		if _, ok := w.waiting[f.stream]; ok && f.length > 0 {
			mine, err := w.firstByte(f)
			if err != nil || mine {
				return err
			}
		}
	}
	w.pass = frameHeader + f.length
	return nil
}

// recordFrame deals with a frame of the record stream.
func (w *wire) recordFrame(f frame) error {
	switch f.command {
	case commandPush:
		w.start += frameHeader
		w.take = f.length
		return nil
	case commandUpdate:
		if f.length != updateLength {
			return fmt.Errorf("%w: window update of %d bytes", ErrProtocol, f.length)
		}
		if err := w.fill(frameHeader + updateLength); err != nil {
			return err
		}
		body := w.in[w.start+frameHeader:]
		w.peerConsumed.Store(binary.LittleEndian.Uint32(body))
		w.peerWindow.Store(binary.LittleEndian.Uint32(body[4:]))
		w.start += frameHeader + updateLength
		if f := w.onRoom.Load(); f != nil {
			(*f)()
		}
		return nil
	case commandFinish:
		return fmt.Errorf("%w: the peer closed the record stream", io.EOF)
	case commandOpen:
		return fmt.Errorf("%w: the record stream opened again", ErrProtocol)
	default:
		w.pass = frameHeader + f.length
		return nil
	}
}

// opening checks a stream the peer opens.
func (w *wire) opening(f frame) error {
	if !w.accepts {
		return fmt.Errorf("%w: the relay opened a stream", ErrProtocol)
	}
	if f.stream == 0 {
		return fmt.Errorf("%w: stream 0 opened", ErrProtocol)
	}
	if w.opened == 0 {
		w.first = f.stream
	}
	w.opened++
	if w.opened > maxStreams {
		return fmt.Errorf("%w: more than %d streams opened on a lane", ErrProtocol, maxStreams)
	}
	w.waiting[f.stream] = struct{}{}
	return nil
}

// firstByte learns from its first byte what a stream carries; mine says that
// it is the record stream, which smux doesn't see.
func (w *wire) firstByte(f frame) (mine bool, err error) {
	if err := w.fill(frameHeader + 1); err != nil {
		return false, err
	}
	delete(w.waiting, f.stream)
	kind := proto.Kind(w.in[w.start+frameHeader])
	switch {
	case kind == proto.KindControl && !w.controlSeen && f.stream == w.first:
		w.controlSeen = true
		w.control.Store(f.stream)
		return false, nil
	case kind == proto.KindRecords && w.controlSeen && w.records.Load() == 0:
		w.start += frameHeader + 1
		w.take = f.length - 1
		w.consumed.Store(1)
		w.adopt(f.stream, 0)
		w.update()
		return true, nil
	}
	return false, fmt.Errorf("%w: a stream of kind %d, when one control stream and then one record stream are expected", ErrProtocol, kind)
}

// adopt makes stream the record stream; sent is what was sent on it already.
func (w *wire) adopt(stream, sent uint32) {
	w.sent.Store(sent)
	w.records.Store(stream)
	if f := w.onRoom.Load(); f != nil {
		(*f)()
	}
}

// room: see [Mux.Room]. A peer that claims to have read what was never sent
// gains nothing: the difference is taken as signed and cut to MaxFrame.
func (w *wire) room() int {
	if w.records.Load() == 0 {
		return 0
	}
	flying := int64(int32(w.sent.Load() - w.peerConsumed.Load())) // #nosec G115 -- a difference that wraps
	return int(max(0, min(int64(w.peerWindow.Load())-flying, MaxFrame)))
}

// writeRecords: see [Mux.WriteFrame].
func (w *wire) writeRecords(b []byte) error {
	n := len(b) - frameHeader
	putFrame(b, frame{command: commandPush, length: n, stream: w.records.Load()})
	w.sent.Add(uint32(n)) // #nosec G115 -- counts bytes and wraps
	w.writing.Lock()
	defer w.writing.Unlock()
	_, err := w.channel.Write(b)
	return err
}

// Write passes on one of smux's frames.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	return w.channel.Write(p)
}

// WriteBuffers is what smux asks for to give a frame in two parts. It is one
// write to the channel here, so that a frame stays one SSH packet.
func (w *wire) WriteBuffers(v [][]byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.out = w.out[:0]
	for _, p := range v {
		w.out = append(w.out, p...)
	}
	return w.channel.Write(w.out)
}

// runUpdates tells the peer how far we have read. It has a goroutine of its
// own because the reading one must never wait for a write: if both peers did
// that, neither would read.
func (w *wire) runUpdates() {
	defer close(w.updatesDone)
	var b [frameHeader + updateLength]byte
	for {
		select {
		case <-w.closed:
			return
		case <-w.updates:
		}
		stream := w.records.Load()
		if stream == 0 {
			continue
		}
		putFrame(b[:], frame{command: commandUpdate, length: updateLength, stream: stream})
		binary.LittleEndian.PutUint32(b[frameHeader:], w.consumed.Load())
		binary.LittleEndian.PutUint32(b[frameHeader+4:], recordWindow)
		if _, err := w.Write(b[:]); err != nil {
			return // the reading side ends too, and says why
		}
	}
}

// Close closes the channel, which ends Read and every write.
func (w *wire) Close() error {
	w.closeOnce.Do(func() {
		close(w.closed)
		w.closeErr = w.channel.Close()
	})
	return w.closeErr
}

func (w *wire) fail(err error) {
	w.failMu.Lock()
	defer w.failMu.Unlock()
	if w.failed == nil {
		w.failed = err
	}
}

// cause is why the wire stopped reading if it did so by itself, else err.
func (w *wire) cause(err error) error {
	w.failMu.Lock()
	defer w.failMu.Unlock()
	if w.failed != nil {
		return w.failed
	}
	return err
}
