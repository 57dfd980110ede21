package relay

import (
	"context"
	"errors"
	"net"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/pipe"
	"funnel/internal/sshwire"
)

// takeChannels takes or rejects the channels that the client opens, until the
// link ends. It doesn't wait for anything but its answers to be written.
func (l *link) takeChannels(ctx context.Context) {
	for offer := range l.channels {
		switch offer.ChannelType() {
		case sshwire.ChannelSession:
			if !l.sessions.take() {
				l.reject(offer, ssh.ResourceShortage, "too many sessions")
				continue
			}
			l.tasks.Go(func() {
				defer l.sessions.give()
				l.serveSession(ctx, offer)
			})
		case sshwire.ChannelDirect:
			l.takeDirect(ctx, offer)
		default:
			l.reject(offer, ssh.UnknownChannelType, "this relay only forwards ports")
		}
	}
}

func (l *link) reject(offer ssh.NewChannel, reason ssh.RejectionReason, text string) {
	l.logRefused("channel rejected", "type", offer.ChannelType(), "cause", text)
	_ = offer.Reject(reason, text) // fails only if the link is gone
}

// takeDirect takes a channel that is to be connected to an address, if the key
// may have that (local forwarding, RFC 4254 §7.2).
func (l *link) takeDirect(ctx context.Context, offer ssh.NewChannel) {
	message, err := sshwire.ParseDirect(offer.ExtraData())
	if err != nil {
		l.reject(offer, ssh.ConnectionFailed, err.Error())
		return
	}
	if err := l.lease.Grant().MayDial(message.Address, uint16(message.Port)); err != nil { // #nosec G115 -- parsed as a port
		l.reject(offer, ssh.Prohibited, err.Error())
		return
	}
	release, ok := l.conns.take()
	if !ok {
		l.reject(offer, ssh.ResourceShortage, "too many connections")
		return
	}
	l.tasks.Go(func() {
		defer release()
		ctx, leave := l.conns.watch(ctx, func() bool {
			return l.lease.Grant().MayDial(message.Address, uint16(message.Port)) == nil // #nosec G115 -- parsed as a port
		})
		defer leave()
		l.carryDirect(ctx, offer, net.JoinHostPort(message.Address, strconv.Itoa(int(message.Port))))
	})
}

// carryDirect connects before it takes the channel, so that a refused
// connection looks like one at the other side.
func (l *link) carryDirect(ctx context.Context, offer ssh.NewChannel, address string) {
	begun := time.Now()
	dialer := net.Dialer{Timeout: dialTimeout}
	dialled, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		l.reject(offer, ssh.ConnectionFailed, explainDial(err))
		return
	}
	defer dialled.Close()
	target, ok := dialled.(*net.TCPConn)
	if !ok {
		l.reject(offer, ssh.ConnectionFailed, "not a TCP connection")
		return
	}
	accepted, requests, err := offer.Accept()
	if err != nil {
		return // the link is gone
	}
	channel := l.channel(accepted, requests)
	stats, err := pipe.Join(ctx, channel, target)
	logConn(l.log.With("direct", address), begun, stats.AToB, stats.BToA, err)
	<-channel.Closed()
}

// explainDial says what a person at the other side needs to know.
func explainDial(err error) string {
	var network net.Error
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &name):
		return "the name has no address"
	case errors.As(err, &network) && network.Timeout():
		return "no answer"
	}
	return "no way there"
}
