package agent

import (
	"context"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/backoff"
	"funnel/internal/pace"
	"funnel/internal/tcpio"
)

// keepLink keeps the link of the TCP forwards up until ctx ends or an error is
// permanent.
func (a *Agent) keepLink(ctx context.Context) error {
	wait := backoff.New(backoff.Config{})
	for {
		err := a.runLink(ctx, wait)
		switch {
		case Permanent(err):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		pause := wait.Next()
		a.config.Log.Warn("no link to the relay", "error", err, "retry_in", pause.Round(time.Millisecond))
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// runLink is one link, from connecting to its end, and says why it ended.
func (a *Agent) runLink(ctx context.Context, wait *backoff.Backoff) error {
	l, err := a.dialer.dial(ctx)
	if err != nil {
		return err
	}
	a.config.Log.Debug("link up", "server", string(l.ServerVersion()))
	begun := time.Now()
	err = newTCPLink(a, l).run(ctx)
	wait.Succeeded(time.Since(begun))
	return err
}

// tcpLink is the link that carries the TCP forwards.
type tcpLink struct {
	agent    *Agent
	link     *link
	bindings *bindings
	slots    chan struct{} // one is taken by each connection; see maxConns
	conns    sync.WaitGroup
}

func newTCPLink(a *Agent, l *link) *tcpLink {
	return &tcpLink{agent: a, link: l, bindings: newBindings(), slots: make(chan struct{}, maxConns)}
}

// run asks for the forwards and serves their connections until the link ends,
// and says why it did. Everything it started has stopped when it returns.
func (t *tcpLink) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	governor := pace.New(pace.Config{
		Socket:    tcpio.NewSocket(t.link.transport),
		Playing:   t.agent.playing,
		Log:       t.agent.config.Log,
		Rate:      t.agent.config.BulkRate,
		Transport: t.link.transport,
	})
	tasks.Go(func() { governor.Run(ctx) })
	tasks.Go(func() {
		err := t.keepAsking(ctx)
		switch {
		case Permanent(err):
			cancel(err)
		case err != nil:
			t.link.Close() // which makes serve return with the reason
		}
	})
	err := t.link.serve(ctx, t.agent.config, func(channel ssh.NewChannel) { t.open(ctx, channel) })
	cancel(err)
	tasks.Wait()
	t.conns.Wait()
	t.agent.board.down(t.agent.tcp)
	return err
}

// sleep waits for d, or less if ctx ends, whose error it then returns.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
