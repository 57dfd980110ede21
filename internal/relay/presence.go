package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"funnel/internal/access"
	"funnel/internal/sshwire"
)

// presence is a client's TCP side at the relay: its bindings and conns. That of
// an agent which announced itself outlives the links that serve it; that of any
// other client ends with its link. A lock order: presences before presence, and
// never two presences at once.
type presence struct {
	// Static after newPresence.
	relay    *Relay
	name     presenceName
	announce sshwire.Announce // zero if there was none
	log      *slog.Logger
	ctx      context.Context // ends with it, and says why
	cancel   context.CancelCauseFunc
	conns    *conns
	carried  carried
	tasks    sync.WaitGroup // acceptors and conns; begun by spawn alone

	asking sync.Mutex // held while a forward is bound or cancelled

	mu       sync.Mutex
	link     *link         // guarded by mu, as all below; nil while the agent is away
	newest   uint64        // the number of the last link
	changed  chan struct{} // closed, and made anew, when link or what it confirmed changes
	lease    *access.Lease // of the last link
	reviewed *access.Grant // what the bindings were last held against
	bindings []*binding
	absence  *time.Timer // ends it when the agent stays away; nil if it isn't waited for
	since    time.Time   // the agent is away
	over     bool
}

// presenceName tells presences apart: the key and the instance of an agent.
type presenceName struct {
	fingerprint, instance string
}

// newPresence is that of a link's client, which is served by the link at once.
func newPresence(r *Relay, l *link, announce sshwire.Announce) *presence {
	log := r.log.With("key", nameOf(l.grant))
	if announce == (sshwire.Announce{}) {
		log = l.log
	}
	p := &presence{
		relay: r, announce: announce, log: log, name: presenceName{l.grant.Fingerprint, announce.Instance},
		link: l, newest: l.number, changed: make(chan struct{}), lease: l.lease, reviewed: l.lease.Grant(),
	}
	p.carried.all = make(map[uint64]*carriedConn)
	p.carried.patience = min(time.Duration(announce.Resume)*time.Second, maxResume)
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.conns = newConns(p.currentLease, r.counters.conns)
	if p.announced() {
		p.absence = time.AfterFunc(r.config.Grace, p.expire)
		p.absence.Stop()
	}
	return p
}

// announced says whether it outlives its links.
func (p *presence) announced() bool { return p.announce.Instance != "" }

// Why presences end, and links of theirs.
var (
	errReplaced = errors.New("replaced by a newer link of its agent")
	errStayed   = errors.New("its agent did not come back")
	errLeft     = errors.New("its agent left")
	errNothing  = errors.New("nothing is left of it")
	errOutlived = errors.New("the same agent, started again later, has its ports")
)

// errHandedOver is why a client isn't carried: its binding is another presence's.
var errHandedOver = errors.New("the port was handed over")

// attach has a new link of its agent serve it, in place of the one before. It
// fails with errReplaced if there was a newer one: what l announced was held up on
// its way. It fails with errNothing if the presence has ended.
func (p *presence) attach(l *link) error {
	p.mu.Lock()
	switch {
	case p.over:
		p.mu.Unlock()
		return errNothing
	case l.number < p.newest:
		p.mu.Unlock()
		return errReplaced
	}
	before := p.link
	away := time.Since(p.since).Round(time.Millisecond)
	p.link, p.newest, p.lease = l, l.number, l.lease
	p.unconfirm()
	p.absence.Stop()
	p.mu.Unlock()
	conns := len(p.carried.list())
	if before != nil {
		before.end(errReplaced)
		p.log.Info("agent came on a new link", "remote", l.remote.String(), "conns", conns)
	} else {
		p.log.Info("agent came back", "remote", l.remote.String(), "away", away, "conns", conns)
	}
	return nil
}

// detach takes a link that has ended from it. Without a link it lasts for the
// grace, if it has something to keep and its agent a way to come back.
func (p *presence) detach(l *link, cause error) {
	p.mu.Lock()
	if p.link != l || p.over {
		p.mu.Unlock()
		return
	}
	p.link, p.since = nil, time.Now()
	p.unconfirm()
	keep := p.announced() && len(p.bindings) > 0
	if keep {
		p.absence.Reset(p.relay.config.Grace)
	}
	bindings := len(p.bindings)
	p.mu.Unlock()
	if !keep {
		p.end(cause)
		return
	}
	p.log.Info("agent is away", "bindings", bindings, "conns", len(p.carried.list()), "grace", p.relay.config.Grace, "cause", describeEnd(cause))
}

// unconfirm notes that the link has still to ask for every forward. It is locked.
func (p *presence) unconfirm() {
	for _, b := range p.bindings {
		b.confirmed = nil
	}
	p.tellChanged()
}

// tellChanged wakes those who wait for a link. It is locked.
func (p *presence) tellChanged() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// expire ends it unless the agent has come back, be it to leave again.
func (p *presence) expire() {
	p.endIf(errStayed, func() bool { return p.link == nil && time.Since(p.since) >= p.relay.config.Grace })
}

// end ends it: its ports are closed when end returns, and its conns and its link
// told to end. It may be called again.
func (p *presence) end(cause error) { p.endIf(cause, func() bool { return true }) }

// endIf is end if there is still a reason to; still is called with p locked.
func (p *presence) endIf(cause error, still func() bool) {
	p.mu.Lock()
	if p.over || !still() {
		p.mu.Unlock()
		return
	}
	p.over = true
	bindings, l := p.bindings, p.link
	p.bindings = nil
	if p.absence != nil {
		p.absence.Stop()
	}
	p.mu.Unlock()
	for _, b := range bindings {
		p.close(b)
	}
	p.cancel(cause)
	if l != nil && p.announced() {
		l.end(cause)
	}
	p.relay.presences.forget(p)
}

// spawn runs a task of its own; false if it has ended.
func (p *presence) spawn(task func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return false
	}
	p.tasks.Go(task)
	return true
}

// linkFor is a link that b was asked for on, other than not: waited for, if need
// be, until ctx ends.
func (p *presence) linkFor(ctx context.Context, b *binding, not *link) (*link, error) {
	for {
		p.mu.Lock()
		l, changed, heir := b.confirmed, p.changed, b.heir
		p.mu.Unlock()
		switch {
		case heir != nil:
			return nil, errHandedOver
		case l != nil && l != not:
			return l, nil
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if b.heir != nil { // which may be why p has ended
			return nil, errHandedOver
		}
		return nil, context.Cause(ctx)
	}
}

// served says whether l is the link that serves it, not one that was replaced.
func (p *presence) served(l *link) bool { return p.currentLink() == l }

func (p *presence) currentLink() *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link
}

func (p *presence) currentLease() *access.Lease {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lease
}

// renew ends it if its login is no longer good, and holds it against its grant
// if that or the networks of clients have changed. A certificate that has expired
// ends the link alone: its agent is away then, and may come back with the next one.
func (p *presence) renew(version uint64, now time.Time, networks bool) {
	lease := p.currentLease()
	if err := lease.Renew(version, now); err != nil && !errors.Is(err, access.ErrExpired) {
		p.end(fmt.Errorf("%w: %w", errRevoked, err))
		return
	}
	grant := lease.Grant()
	p.mu.Lock()
	changed := p.reviewed != grant
	p.reviewed = grant
	p.mu.Unlock()
	if networks || changed {
		p.review(lease)
	}
}

// review closes what is no longer permitted.
func (p *presence) review(lease *access.Lease) {
	p.mu.Lock()
	bindings := slices.Clone(p.bindings)
	p.mu.Unlock()
	for _, b := range bindings {
		if err := lease.MayBind("tcp", b.address, b.port); err != nil {
			p.log.Warn("binding revoked", "network", "tcp", "address", b.describe(), "cause", err)
			b.revoked.Store(true)
			p.takeAway(b)
			continue
		}
		lease.Adjust(b.toTarget, b.toClient)
	}
	p.conns.review()
}

// drop closes a binding; false if it isn't there any more.
func (p *presence) drop(b *binding) bool {
	if !p.remove(b) {
		return false
	}
	p.close(b)
	return true
}

// remove takes a binding out, open as it is; false if it isn't there any more.
func (p *presence) remove(b *binding) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := slices.Index(p.bindings, b)
	if at < 0 {
		return false
	}
	p.bindings = slices.Delete(p.bindings, at, at+1)
	return true
}

// takeAway closes a binding without having been asked to by the agent, which is told.
func (p *presence) takeAway(b *binding) {
	if p.drop(b) {
		p.tellUnbound(b)
	}
}

// close closes the ports of a binding that was taken out.
func (p *presence) close(b *binding) {
	for _, listener := range b.listeners {
		_ = listener.Close()
	}
	b.release()
	p.log.Info("binding closed", "network", "tcp", "address", b.describe())
}
