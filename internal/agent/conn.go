package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/pipe"
	"funnel/internal/sshwire"
)

// open takes a channel that the relay opens. It doesn't block, so that no
// connection waits for another's target.
func (t *tcpLink) open(ctx context.Context, offer ssh.NewChannel) {
	switch offer.ChannelType() {
	case sshwire.ChannelForwarded:
		if !t.agent.conns.Take() {
			reject(offer, ssh.ResourceShortage, "too many connections")
			return
		}
		t.conns.Go(func() {
			defer t.agent.conns.Give()
			t.carry(ctx, offer)
		})
	case sshwire.ChannelResumable:
		t.conns.Go(func() { t.openResumable(ctx, offer) })
	default:
		reject(offer, ssh.UnknownChannelType, "this is an agent: it takes forwarded connections alone")
	}
}

// carry is one connection from the relay's offer to its end.
func (t *tcpLink) carry(ctx context.Context, offer ssh.NewChannel) {
	from, err := sshwire.ParseForwarded(offer.ExtraData())
	if err != nil {
		reject(offer, ssh.ConnectionFailed, "the offer can't be read")
		return
	}
	target, log := t.connect(ctx, from, offer)
	if target == nil {
		return
	}
	accepted, requests, err := offer.Accept()
	if err != nil { // the link is gone
		target.Close()
		return
	}
	channel := t.link.channel(accepted, requests)
	stats, err := pipe.Join(ctx, channel, target)
	log.Debug("connection ended", "client", from.OriginAddress, "to_target", stats.AToB, "to_client", stats.BToA, "error", err)
	<-channel.Closed() // until then the channel's memory is ours to keep
}

// connect dials the target of an offer before that is accepted, so that a target
// that refuses looks to the client like a port that refuses. It returns nil if it
// has rejected the offer.
func (t *tcpLink) connect(ctx context.Context, from sshwire.Forwarded, offer ssh.NewChannel) (*net.TCPConn, *slog.Logger) {
	b, err := t.bindings.find(from.Address, from.Port)
	if err != nil {
		reject(offer, ssh.Prohibited, err.Error())
		return nil, nil
	}
	log := t.agent.config.Log.With("listen", b.forward.Listen(), "target", b.forward.Target())
	target, err := b.dial(ctx)
	b.noteTarget(log, err)
	if err != nil {
		reason, text := whyRejected(err)
		reject(offer, reason, text)
		return nil, nil
	}
	return target, log
}

var errBusy = errors.New("too many connects under way")

// dial connects to the target. It holds one of the forward's dial slots only
// while connecting.
func (b *binding) dial(ctx context.Context) (*net.TCPConn, error) {
	select {
	case b.dials <- struct{}{}:
		defer func() { <-b.dials }()
	default:
		return nil, errBusy
	}
	dialer := net.Dialer{Timeout: targetTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", b.forward.Target())
	if err != nil {
		return nil, fmt.Errorf("connect to target: %w", err)
	}
	return conn.(*net.TCPConn), nil
}

// noteTarget logs when the target stops answering and when it answers again,
// and nothing in between, however many clients try.
func (b *binding) noteTarget(log *slog.Logger, err error) {
	failing := err != nil
	if errors.Is(err, context.Canceled) || b.failing.Swap(failing) == failing {
		return
	}
	held, tell := b.told.Allow(time.Now()) // one that comes and goes
	switch {
	case !tell:
	case failing:
		log.Warn("target doesn't take connections; clients are refused meanwhile", "error", err, "held_back", held)
	default:
		log.Info("target takes connections again", "held_back", held)
	}
}

// whyRejected words a failed connect for the relay without naming anything of
// the network behind the agent.
func whyRejected(err error) (ssh.RejectionReason, string) {
	var network net.Error
	switch {
	case errors.Is(err, errBusy):
		return ssh.ResourceShortage, "the target is too slow to take more connections"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ssh.ConnectionFailed, "the target refused the connection"
	case errors.As(err, &network) && network.Timeout():
		return ssh.ConnectionFailed, "the target doesn't answer"
	}
	return ssh.ConnectionFailed, "the target can't be reached"
}

// reject ignores the error: it only ever says that the link is gone.
func reject(channel ssh.NewChannel, reason ssh.RejectionReason, text string) {
	_ = channel.Reject(reason, text)
}
