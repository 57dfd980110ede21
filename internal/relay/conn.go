package relay

import (
	"context"
	"log/slog"
	"net"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/pipe"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// carry offers a client to the link's other side and, if it is taken, carries
// its bytes until both are done. It returns when nothing is left of the conn,
// also at the other side: until then it counts.
func (l *link) carry(ctx context.Context, b *binding, client *net.TCPConn) {
	begun := time.Now()
	log := l.log.With("address", b.describe(), "client", client.RemoteAddr().String())
	_ = client.SetNoDelay(true) // fails only if the client is gone, as below
	origin := addrPort(client.RemoteAddr()).Addr()
	ctx, leave := l.conns.watch(ctx, func() bool { return !b.revoked.Load() && l.welcome(origin, b.port) })
	defer leave()
	channel, err := l.open(b, client)
	if err != nil {
		log.Debug("conn not taken", "cause", err)
		_ = tcpio.Abort(client)
		return
	}
	log.Debug("conn opened")
	stats, err := pipe.Join(ctx, meter(ctx, client, b), channel)
	logConn(log, begun, stats.AToB, stats.BToA, err)
	<-channel.Closed()
}

// open opens the channel of a conn and gives the place among those to be opened
// back. A client that has to wait too long is reset; the place is taken for as
// long as there is no answer, as x/crypto/ssh has no way to withdraw the offer.
func (l *link) open(b *binding, client *net.TCPConn) (*sshwire.Channel, error) {
	defer b.opening.give()
	late := time.AfterFunc(openTimeout, func() { _ = tcpio.Abort(client) })
	defer late.Stop()
	origin := addrPort(client.RemoteAddr())
	channel, requests, err := l.conn.OpenChannel(sshwire.ChannelForwarded, ssh.Marshal(sshwire.Forwarded{
		Address:       b.address,
		Port:          uint32(b.port),
		OriginAddress: origin.Addr().WithZone("").String(),
		OriginPort:    uint32(origin.Port()),
	}))
	if err != nil {
		return nil, err
	}
	// Should the client have been reset, Join closes the channel at once.
	return l.channel(channel, requests), nil
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
