package replay

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

// attachment is one lane's connection to the group.
type attachment struct {
	group  *Group
	slot   int
	token  proto.Token // the session it belongs to
	lane   *lane.Lane
	dialed *Lane
	since  time.Time          // it is up
	cancel context.CancelFunc // ends the lane
	outbox chan proto.Message // to the relay; never closed
}

// serve serves a lane until it ends.
func (g *Group) serve(ctx context.Context, dialed *Lane, slot int) error {
	defer dialed.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closeOnEnd := context.AfterFunc(ctx, func() { dialed.Close() })
	defer closeOnEnd()

	late := time.AfterFunc(helloTimeout, cancel)
	defer late.Stop()
	channel := dialed.Channel
	token, err := g.greet(ctx, channel, slot)
	if errors.Is(err, errForgotten) && dialed.Another != nil {
		// What takes the time of a dial is done already.
		_ = channel.Close()
		if channel, err = dialed.Another(); err == nil {
			token, err = g.greet(ctx, channel, slot)
		}
	}
	if err != nil {
		return err
	}
	d := newDelivery(g, token)
	m, err := mux.Open(channel, d.receive)
	if err != nil {
		return err
	}
	late.Stop()
	l := lane.New(lane.Config{
		Slot: slot, Mux: m, Socket: dialed.Socket, MaxDelay: g.config.MaxDelay, Drops: &g.drops,
	})
	d.lane.Store(l)
	a := &attachment{
		group: g, slot: slot, token: token, lane: l, dialed: dialed, since: time.Now(), cancel: cancel,
		outbox: make(chan proto.Message, outboxSize),
	}
	return a.run(ctx, m)
}

// errForgotten is how a relay answers that was started anew.
var errForgotten = &proto.Error{Code: proto.CodeUnknownSession}

// greet says hello: it joins the session there is, or begins one. An error that is
// errForgotten means that there is none any more, and that another channel may
// begin one at once.
func (g *Group) greet(ctx context.Context, channel io.ReadWriter, slot int) (proto.Token, error) {
	token := g.session()
	if token == (proto.Token{}) {
		// One lane begins the session, the others wait to join it.
		select {
		case g.leading <- struct{}{}:
			defer func() { <-g.leading }()
		case <-ctx.Done():
			return token, ctx.Err()
		}
		token = g.session()
	}
	hello := proto.Hello{
		Version: proto.Version, Lowest: proto.LowestVersion, Session: token, Name: g.config.Name,
		Lane:  uint8(slot + 1), // #nosec G115 -- lane.MaxLanes at most
		Agent: g.config.Instance.Agent, Generation: g.config.Instance.Generation,
	}
	if _, err := channel.Write(hello.Append(nil)); err != nil {
		return token, fmt.Errorf("write hello: %w", err)
	}
	welcome, err := proto.ReadWelcome(channel)
	if err != nil {
		return token, err
	}
	switch err := welcome.Err(); {
	case errors.Is(err, errForgotten):
		g.lost(token)
		return token, fmt.Errorf("relay refused the lane: %w", err)
	case err != nil:
		return token, refusal(err)
	}
	if welcome.Version < proto.LowestVersion || welcome.Version > proto.Version {
		return token, fmt.Errorf("%w: relay chose protocol version %d, which this agent doesn't speak", proto.ErrMalformed, welcome.Version)
	}
	if token == (proto.Token{}) {
		token = welcome.Session
		g.begin(token)
	}
	return token, nil
}

// run serves the lane until any part of it ends.
func (a *attachment) run(ctx context.Context, m *mux.Mux) error {
	group, ctx := errgroup.WithContext(ctx)
	closeOnEnd := context.AfterFunc(ctx, func() { m.Close() })
	defer closeOnEnd()
	attached := a.group.attach(a)
	group.Go(func() error { return a.lane.Run(ctx) })
	group.Go(func() error { return a.write(ctx, m) })
	group.Go(func() error { return a.read(m) })
	if !attached {
		a.cancel() // the session was lost since the welcome
	}
	err := group.Wait()
	m.Close()
	a.group.detach(a, err)
	return err
}

// read serves the relay's control messages.
func (a *attachment) read(m *mux.Mux) error {
	for {
		message, err := proto.ReadMessage(m.Control())
		if err != nil {
			return m.Cause(err)
		}
		switch message := message.(type) {
		case proto.Bound:
			err = a.group.bound(a.token, message)
		case proto.Refused:
			err = a.group.refused(a.token, message)
		case proto.Unbound:
			err = a.group.unbound(a.token, message)
		case proto.Close:
			a.group.lost(a.token)
			err := fmt.Errorf("relay closed the session: %w", &proto.Error{Code: message.Code, Text: message.Text})
			if message.Code == proto.CodeClosing {
				return err // it stops or is started again, and wants nobody to stay away
			}
			// Never final: whether there may be another session the next welcome says.
			return &Refusal{Cause: err}
		default:
			err = fmt.Errorf("%w: the relay sent a message that is an agent's", proto.ErrMalformed)
		}
		if err != nil {
			return err
		}
	}
}

// write writes the outbox. After a Close the relay ends the lane.
func (a *attachment) write(ctx context.Context, m *mux.Mux) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-a.outbox:
			if _, err := m.Control().Write(proto.AppendMessage(nil, message)); err != nil {
				return m.Cause(err)
			}
		}
	}
}

// tell queues a message for the relay; false if too many wait already.
func (a *attachment) tell(message proto.Message) bool {
	select {
	case a.outbox <- message:
		return true
	default:
		return false
	}
}
