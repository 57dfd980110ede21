package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/obs"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// link is one authenticated SSH connection and all that belongs to it.
type link struct {
	// Static after newLink.
	relay     *Relay
	conn      *ssh.ServerConn
	channels  <-chan ssh.NewChannel // must be received from, or conn hangs
	requests  <-chan *ssh.Request   // likewise
	transport *tcpio.Conn
	socket    *tcpio.Socket
	grant     *access.Grant
	remote    netip.AddrPort
	log       *slog.Logger

	conns    slots // conns, those to be opened included
	sessions slots // session channels

	refused obs.Throttle // bindings and channels

	tasks sync.WaitGroup // all goroutines of the link

	// Owned by answerRequests.
	bindings []*binding
	governed bool // a pace.Governor watches the link
}

func newLink(r *Relay, conn *ssh.ServerConn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request,
	transport *tcpio.Conn, grant *access.Grant, remote netip.AddrPort) *link {
	return &link{
		relay:     r,
		conn:      conn,
		channels:  channels,
		requests:  requests,
		transport: transport,
		socket:    tcpio.NewSocket(transport),
		grant:     grant,
		remote:    remote,
		log:       r.log.With("remote", remote.String(), "key", nameOf(grant)),
		conns:     make(slots, maxConns),
		sessions:  make(slots, maxSessions),
	}
}

// nameOf is what a log calls a key.
func nameOf(grant *access.Grant) string {
	if grant.Name != "" {
		return grant.Name
	}
	return grant.Fingerprint
}

// run serves the link until it ends, or ctx does, which end ends. When it
// returns, everything that belongs to the link is closed and has stopped.
func (l *link) run(ctx context.Context, end context.CancelCauseFunc) {
	begun := time.Now()
	l.log.Info("link opened", "fingerprint", l.grant.Fingerprint, "user", l.grant.User, "client", string(l.conn.ClientVersion()))
	err := l.serve(ctx, end)
	l.log.Info("link closed", "duration", time.Since(begun).Round(time.Millisecond), "cause", describeEnd(err))
}

func (l *link) serve(ctx context.Context, end context.CancelCauseFunc) error {
	l.tasks.Go(func() {
		<-ctx.Done()
		l.conn.Close()
	})
	release, admitted := l.relay.perKey.add(l.grant.Fingerprint)
	if admitted {
		defer release()
	} else {
		end(errTooManyLinks)
	}
	l.tasks.Go(func() { l.answerRequests(ctx) })
	l.tasks.Go(func() { l.takeChannels(ctx) })
	l.tasks.Go(func() {
		config := l.relay.config
		sshwire.KeepaliveOver(ctx, l.transport, l.conn, config.KeepaliveInterval, config.KeepaliveCount, end)
	})
	err := l.conn.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, io.EOF) {
		err = cause
	}
	end(err)
	l.tasks.Wait()
	return err
}

var errTooManyLinks = errors.New("the key has too many links")

// logRefused logs what the client may not do, or can't have, but not endlessly.
func (l *link) logRefused(message string, arguments ...any) {
	held, ok := l.refused.Allow(time.Now())
	if !ok {
		return
	}
	if held > 0 {
		arguments = append(arguments, "held_back", held)
	}
	l.log.Info(message, arguments...)
}

// describeEnd is the cause of an end, in words for the log.
func describeEnd(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "closed"
	}
	return err.Error()
}
