package agent

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"funnel/internal/keep"
	"funnel/internal/pace"
	"funnel/internal/tcpio"
)

// keepLink keeps the link of the TCP forwards up until ctx ends or an error is
// permanent.
func (a *Agent) keepLink(ctx context.Context) error {
	return keep.Run(ctx, keep.Config[*link]{
		Dial: func(ctx context.Context, reached func()) (*link, error) { return a.dialer.dial(ctx, reached, true) },
		Serve: func(ctx context.Context, l *link) error {
			a.config.Log.Debug("link up", "server", string(l.ServerVersion()))
			a.uptime.up(l)
			err := newTCPLink(a, l).run(ctx)
			a.uptime.down(l, err)
			return err
		},
		Permanent: Permanent,
		Unreached: is[*unreachedError],
		Hedge:     a.dialer.hasLoggedIn,
		Kick:      a.dialer.paths.kicked,
		Movable:   func(l *link) bool { return l.movable.Load() },
		Lost:      a.uptime.lost,
		Log:       a.config.Log,
	})
}

// tcpLink is the link that carries the TCP forwards.
type tcpLink struct {
	agent     *Agent
	link      *link
	bindings  *bindings
	announced atomic.Bool    // the relay keeps what is ours
	conns     sync.WaitGroup // those that end with the link
}

func newTCPLink(a *Agent, l *link) *tcpLink {
	t := &tcpLink{agent: a, link: l, bindings: newBindings()}
	l.unbound = t.bindings.remove
	return t
}

// run asks for the forwards and serves their connections until the link ends,
// and says why it did. When ctx ends, or there is no reason to go on, it says goodbye
// first. Everything it started has stopped when it returns, but for conns that outlive
// the link.
func (t *tcpLink) run(ctx context.Context) error {
	// What a conn gets to know of a broken link must not be that its data has ended.
	serving, cancel := context.WithCancelCause(t.link.life)
	defer cancel(nil)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		select {
		case <-ctx.Done():
			t.leave(serving)
			cancel(context.Cause(ctx))
		case <-serving.Done():
		}
	})
	governor := pace.New(pace.Config{
		Socket:    tcpio.NewSocket(t.link.transport),
		Playing:   t.agent.playing,
		Log:       t.agent.config.Log,
		Rate:      t.agent.config.BulkRate,
		Transport: t.link.transport,
	})
	tasks.Go(func() { governor.Run(serving) })
	var final error // which counts, even if the relay hangs up at the goodbye
	tasks.Go(func() {
		err := t.keepAsking(serving)
		switch {
		case Permanent(err):
			final = err
			t.leave(serving)
			cancel(err)
		case err != nil:
			t.link.Close() // which makes serve return with the reason
		}
	})
	err := t.link.serve(serving, func(channel ssh.NewChannel) { t.open(serving, channel) })
	cancel(err)
	tasks.Wait()
	t.conns.Wait()
	t.agent.board.down(t.agent.tcp)
	if final != nil {
		return final
	}
	return err
}
