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
	number    uint64        // higher than those of links whose connections came before
	grant     *access.Grant // as it was at the login: who it is
	lease     *access.Lease // what it may do
	remote    netip.AddrPort
	log       *slog.Logger

	conns    *conns          // that the client opened, and of test ports
	sessions slots           // session channels
	changed  chan struct{}   // 1 slot: lease has changed
	ctx      context.Context // ends before the link's channels seem to; set by run
	end      context.CancelCauseFunc

	refused obs.Throttle // bindings and channels

	tasks sync.WaitGroup // all goroutines of the link

	// Owned by answerRequests.
	presence *presence  // nil until it is announced, or a forward asked for
	test     *testPorts // nil if none were asked for
	governed bool       // a pace.Governor watches the link
}

func newLink(r *Relay, conn *ssh.ServerConn, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request,
	transport *tcpio.Conn, grant *access.Grant, remote netip.AddrPort) *link {
	l := &link{
		relay:     r,
		conn:      conn,
		channels:  channels,
		requests:  requests,
		transport: transport,
		socket:    tcpio.NewSocket(transport),
		grant:     grant,
		remote:    remote,
		log:       r.log.With("remote", remote.String(), "key", nameOf(grant)),
		lease:     r.config.Keys.Lease(grant),
		sessions:  make(slots, maxSessions),
		changed:   make(chan struct{}, 1),
	}
	l.conns = newConns(func() *access.Lease { return l.lease }, r.counters.conns)
	return l
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
	arguments := []any{"fingerprint", l.grant.Fingerprint, "user", l.grant.User, "client", string(l.conn.ClientVersion())}
	if l.grant.Authority != "" {
		arguments = append(arguments, "authority", l.grant.Authority, "serial", l.grant.Serial)
	}
	l.log.Info("link opened", arguments...)
	l.ctx, l.end = ctx, end
	l.relay.enlist(l)
	defer l.relay.delist(l)
	err := l.serve(ctx, end)
	l.log.Info("link closed", "duration", time.Since(begun).Round(time.Millisecond), "cause", describeEnd(err))
}

func (l *link) serve(ctx context.Context, end context.CancelCauseFunc) error {
	l.tasks.Go(func() {
		<-ctx.Done()
		l.conn.Close()
	})
	if release, err := l.place(); err != nil {
		end(err)
	} else {
		defer release()
	}
	l.tasks.Go(func() { l.answerRequests(ctx) })
	l.tasks.Go(func() { l.takeChannels(ctx) })
	l.tasks.Go(func() {
		config := l.relay.config
		sshwire.Keepalive(ctx, l.transport, l.conn, config.KeepaliveInterval, config.KeepaliveCount, end)
	})
	err := l.conn.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, io.EOF) {
		err = cause
	}
	end(err)
	l.tasks.Wait()
	if p := l.presence; p != nil {
		p.detach(l, err)
		if !p.announced() {
			p.tasks.Wait()
		}
	}
	return err
}

// place takes a place for the link, of its key and of the relay.
func (l *link) place() (release func(), err error) {
	give, ok := l.relay.perKey.add(l.grant.Fingerprint)
	if !ok {
		return nil, errTooManyLinks
	}
	if !l.relay.counters.links.Take() {
		give()
		return nil, errTooManyAtRelay
	}
	return func() {
		give()
		l.relay.counters.links.Give()
	}, nil
}

// enlist makes the link one that the operator's changes reach.
func (r *Relay) enlist(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[l] = struct{}{}
}

func (r *Relay) delist(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.links, l)
}

var errTooManyAtRelay = errors.New("the relay has too many links")

var errTooManyLinks = errors.New("the key has too many links")

// logRefused logs what the client may not do, or can't have, but not endlessly.
func (l *link) logRefused(message string, arguments ...any) {
	l.refused.Info(l.log, message, arguments...)
}

// describeEnd is the cause of an end, in words for the log.
func describeEnd(err error) string {
	if err == nil || errors.Is(err, io.EOF) {
		return "closed"
	}
	return err.Error()
}
