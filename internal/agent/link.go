package agent

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// link is one authenticated SSH connection to the relay.
type link struct {
	ssh.Conn
	life      context.Context       // ends when the connection can't be read any more, before its channels do
	channels  <-chan ssh.NewChannel // must be received from until closed
	requests  <-chan *ssh.Request   // likewise
	transport *tcpio.Conn
	socket    *tcpio.Socket // of transport
	vigil     *sshwire.Vigil
	paths     *paths
	movable   atomic.Bool // what it carries goes on over the next link

	// unbound is told of a port that the relay has taken away; nil if it has none.
	unbound func(address string, port uint32)
}

// Doubt says whether the path to the relay may be dead; see sshwire.Vigil.
func (l *link) Doubt() (doubt bool, changed <-chan struct{}) { return l.vigil.Doubt() }

// doubtedSince is since when the path to the relay may be dead; false if nothing
// speaks for that.
func (l *link) doubtedSince() (time.Time, bool) { return l.vigil.DoubtedSince() }

// rtt is the path's round trip: the kernel's smoothed one where it tells,
// otherwise what the last answer took; 0 if neither is known.
func (l *link) rtt() time.Duration {
	if info, ok := l.socket.Info(); ok && info.SRTT > 0 {
		return info.SRTT
	}
	return l.vigil.RTT()
}

// isFunnelRelay says whether the other end is funnel-relay, which tells why it
// refuses a forward, rather than some other SSH server.
func (l *link) isFunnelRelay() bool {
	return sshwire.IsRelay(l.ServerVersion())
}

// channel is a channel that the relay opened, as far as one can rely on it.
func (l *link) channel(channel ssh.Channel, requests <-chan *ssh.Request) *sshwire.Channel {
	if l.isFunnelRelay() {
		return sshwire.NewChannel(channel, requests)
	}
	return sshwire.NewPlainChannel(channel, requests)
}

// serve answers what the relay sends unasked, watches that it is alive, and
// closes the link when it isn't or ctx ends. Each channel the relay opens is
// given to open, which must not block. serve returns once the link is down and
// says why; open isn't called any more then.
func (l *link) serve(ctx context.Context, open func(ssh.NewChannel)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	tasks.Go(l.answerRequests)
	tasks.Go(func() { l.vigil.Run(ctx, cancel) })
	leave := l.paths.enter(l.vigil)
	defer leave()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	for channel := range l.channels {
		open(channel)
	}
	err := l.Wait()
	stop()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	l.Close()
	tasks.Wait()
	return err
}

// answerRequests answers the relay's global requests until the link is down.
func (l *link) answerRequests() {
	for request := range l.requests {
		if request.Type == sshwire.RequestUnbound && l.unbound != nil {
			if message, err := sshwire.ParseForwardRequest(request.Payload); err == nil {
				l.unbound(message.Address, message.Port)
			}
		}
		if request.WantReply {
			_ = request.Reply(false, nil) // fails only if the link is gone
		}
	}
}
