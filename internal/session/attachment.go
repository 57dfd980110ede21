package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"funnel/internal/lane"
	"funnel/internal/mux"
	"funnel/proto"
)

// attachment is one lane's connection to its session.
type attachment struct {
	session *Session
	peer    Peer
	slot    int
	number  uint8              // that the agent gave the lane; 0 for none
	outbox  chan proto.Message // to the agent; never closed
	cancel  context.CancelFunc // ends the lane

	replaced bool // another has its place, and it is to end; guarded by session.mu
}

// outboxSize bounds the control messages waiting for an agent: an answer for
// each binding a session may have would wait only if the agent stopped reading.
const outboxSize = 64

// Serve runs one lane: the subsystem on channel, which it owns from here on.
// It returns when the lane has ended: nil when the agent ended it or ctx did,
// otherwise with the reason. It doesn't return before all it started has
// stopped.
func (r *Registry) Serve(ctx context.Context, channel io.ReadWriteCloser, peer Peer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closeOnEnd := context.AfterFunc(ctx, func() { channel.Close() })
	defer closeOnEnd()
	defer channel.Close()
	// A write into an SSH channel whose peer gives it no window waits until the
	// connection ends, whatever becomes of the channel.
	ended := make(chan struct{})
	defer close(ended)
	stopForce := context.AfterFunc(ctx, func() { peer.closeAfter(farewell, ended) })
	defer stopForce()

	late := time.AfterFunc(helloTimeout, cancel)
	defer late.Stop()
	a, err := r.greet(channel, peer, cancel)
	if err != nil {
		return err
	}
	defer a.session.detach(a)
	d := newDelivery(a.session)
	m, err := mux.Accept(channel, d.receive)
	if err != nil {
		return err
	}
	late.Stop()
	return a.run(ctx, m, d)
}

// closeAfter closes the connection unless the lane has ended by then.
func (p Peer) closeAfter(patience time.Duration, ended <-chan struct{}) {
	if p.Close == nil {
		return
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		_ = p.Close()
	}
}

// greet answers the agent's hello and attaches the lane to its session.
func (r *Registry) greet(channel io.ReadWriter, peer Peer, cancel context.CancelFunc) (*attachment, error) {
	hello, err := proto.ReadHello(channel)
	if err != nil {
		if errors.Is(err, proto.ErrMalformed) {
			r.refuse(channel, &proto.Error{Code: proto.CodeMalformed, Text: "the hello was not understood"})
		}
		return nil, err
	}
	version, err := hello.Choose()
	if err != nil {
		r.refuse(channel, err)
		return nil, err
	}
	a := &attachment{peer: peer, number: hello.Lane, cancel: cancel, outbox: make(chan proto.Message, outboxSize)}
	a.session, err = r.join(hello, peer)
	if err == nil {
		err = a.session.attach(a)
	}
	if err != nil {
		r.refuse(channel, err)
		return nil, err
	}
	welcome := proto.Welcome{Version: version, Session: a.session.token}
	if _, err := channel.Write(welcome.Append(nil)); err != nil {
		a.session.detach(a)
		return nil, fmt.Errorf("write welcome: %w", err)
	}
	a.session.log.Info("lane opened", "slot", a.slot, "agent", hello.Name, "remote", peer.Remote)
	return a, nil
}

// refuse tells the agent why its lane ends here. The channel is closed next, so
// an error in writing changes nothing.
func (r *Registry) refuse(channel io.Writer, cause error) {
	refusal := proto.Welcome{Version: proto.Version, Code: proto.CodeFailed, Text: cause.Error()}
	var wire *proto.Error
	if errors.As(cause, &wire) {
		refusal.Code = wire.Code
	}
	_, _ = channel.Write(refusal.Append(nil))
}

// run serves the lane until any part of it ends.
func (a *attachment) run(ctx context.Context, m *mux.Mux, d *delivery) error {
	s := a.session
	l := lane.New(lane.Config{
		Slot: a.slot, Mux: m, Socket: a.peer.Socket, MaxDelay: s.config.MaxDelay, Drops: &s.drops,
	})
	d.lane.Store(l)
	s.set.Add(l)
	defer s.set.Remove(l)

	group, ctx := errgroup.WithContext(ctx)
	closeOnEnd := context.AfterFunc(ctx, func() {
		a.cancel() // Serve's own, which knows what to do if closing isn't enough
		m.Close()
	})
	defer closeOnEnd()
	group.Go(func() error { return l.Run(ctx) })
	group.Go(func() error { return a.write(ctx, m) })
	group.Go(func() error { return a.read(ctx, m) })
	err := group.Wait()
	m.Close()
	switch {
	case errors.Is(err, errDone), errors.Is(err, io.EOF):
		err = nil
	}
	s.log.Info("lane closed", "slot", a.slot, "remote", a.peer.Remote, "cause", describeEnd(err))
	return err
}

// describeEnd is the cause of a lane's end, in words for the log.
func describeEnd(err error) string {
	if err == nil {
		return "closed"
	}
	return err.Error()
}

// errDone ends a lane that has nothing wrong with it.
var errDone = errors.New("done")

// read serves the agent's control messages.
func (a *attachment) read(ctx context.Context, m *mux.Mux) error {
	for {
		message, err := proto.ReadMessage(m.Control())
		if err != nil {
			return a.broken(m.Cause(err))
		}
		var answer proto.Message
		switch message := message.(type) {
		case proto.Bind:
			answer = a.session.bind(message, a.peer.Grant)
		case proto.Unbind:
			answer = a.session.unbind(message.Forward)
		case proto.Close:
			a.session.close("its agent closed it")
			return errDone
		default:
			return a.broken(fmt.Errorf("%w: an agent sent a message that is a relay's", proto.ErrMalformed))
		}
		select {
		case a.outbox <- answer:
		case <-ctx.Done():
			return nil
		}
	}
}

// broken ends a lane whose control stream can't be read on. An agent that broke
// the format can't be trusted with the session: it is told why and starts anew.
func (a *attachment) broken(cause error) error {
	if errors.Is(cause, proto.ErrMalformed) {
		a.session.end(proto.CodeMalformed, cause.Error())
		return nil // write ends the lane when the agent has been told
	}
	return cause
}

// write writes the outbox. A Close is the last message.
func (a *attachment) write(ctx context.Context, m *mux.Mux) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-a.outbox:
			if _, err := m.Control().Write(proto.AppendMessage(nil, message)); err != nil {
				return m.Cause(err)
			}
			if _, last := message.(proto.Close); last {
				return errDone
			}
		}
	}
}

// tell queues a message for the agent; false if too many wait already.
func (a *attachment) tell(message proto.Message) bool {
	select {
	case a.outbox <- message:
		return true
	default:
		return false
	}
}
