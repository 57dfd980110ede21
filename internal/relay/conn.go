package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/pipe"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// carry offers a client to the agent and, if it is taken, carries its bytes until
// both are done. It returns when nothing is left of the conn, also at the other
// side: until then it counts. With errHandedOver the client is as it was, and the
// heir's.
func (p *presence) carry(b *binding, client *net.TCPConn) error {
	begun := time.Now()
	log := p.log.With("address", b.describe(), "client", client.RemoteAddr().String())
	_ = client.SetNoDelay(true) // fails only if the client is gone, as below
	origin := addrPort(client.RemoteAddr()).Addr()
	ctx, leave := p.conns.watch(p.ctx, func() bool { return !b.revoked.Load() && p.relay.welcome(origin, b.port) })
	defer leave()
	run, err := p.offer(ctx, b, client)
	if err == errHandedOver {
		return err
	}
	if err != nil {
		log.Debug("conn not taken", "cause", err)
		_ = tcpio.Abort(client)
		return err
	}
	log.Debug("conn opened")
	toTarget, toClient, err := run(ctx)
	logConn(log, begun, toTarget, toClient, err)
	return err
}

// offer opens the channel of a conn, and says how to run it. A client waits for
// an agent that is away, and for one that is slow to answer; one that has to wait
// too long is reset. The place among those to be opened is taken for as long as
// there is no answer, as x/crypto/ssh has no way to withdraw the offer.
func (p *presence) offer(ctx context.Context, b *binding, client *net.TCPConn) (run func(context.Context) (toTarget, toClient int64, err error), err error) {
	defer b.opening.give()
	late := time.AfterFunc(openTimeout, func() { _ = tcpio.Abort(client) })
	defer late.Stop()
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	origin := addrPort(client.RemoteAddr())
	forwarded := sshwire.Forwarded{
		Address:       b.address,
		Port:          uint32(b.port),
		OriginAddress: origin.Addr().WithZone("").String(),
		OriginPort:    uint32(origin.Port()),
	}
	number := p.carried.next()
	for before := (*link)(nil); ; {
		l, err := p.linkFor(ctx, b, before)
		if err != nil {
			return nil, err
		}
		before = l
		kind, data := sshwire.ChannelForwarded, ssh.Marshal(forwarded)
		if p.resumes() {
			// If it was offered before, the agent knows it by its number.
			kind, data = sshwire.ChannelResumable, ssh.Marshal(resumable(forwarded, number))
		}
		// Should the client have been reset, run closes the channel at once.
		channel, requests, err := l.conn.OpenChannel(kind, data)
		switch {
		case err == nil && p.resumes():
			return p.begin(l, &carriedConn{number: number, forwarded: forwarded}, meter(client, b), channel, requests), nil
		case err == nil:
			return func(ctx context.Context) (int64, int64, error) {
				return joined(ctx, l, meter(client, b), l.channel(channel, requests))
			}, nil
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](err); refused {
			return nil, err
		}
	}
}

// joined carries the bytes of a conn that ends with its link: its context is the
// link's, which ends before the channel does.
func joined(ctx context.Context, l *link, client pipe.Half, channel *sshwire.Channel) (toTarget, toClient int64, err error) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	defer context.AfterFunc(outer, func() { cancel(context.Cause(outer)) })()
	stats, err := pipe.Join(ctx, client, channel)
	<-channel.Closed()
	return stats.AToB, stats.BToA, err
}

// channel is a channel of the link's client, as far as one can rely on it.
func (l *link) channel(channel ssh.Channel, requests <-chan *ssh.Request) *sshwire.Channel {
	if sshwire.IsAgent(l.conn.ClientVersion()) {
		return sshwire.NewChannel(channel, requests)
	}
	return sshwire.NewPlainChannel(channel, requests)
}

func logConn(log *slog.Logger, begun time.Time, toTarget, toClient int64, err error) {
	log.Debug("conn closed", "duration", time.Since(begun).Round(time.Millisecond),
		"to_target", toTarget, "to_client", toClient, "cause", describeEnd(err))
}
