package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"funnel/internal/access"
)

// watch makes what the operator changes count for what is there already, until
// ctx ends: links whose key is gone end, ports that are no longer permitted
// close, clients that are no longer welcome are cut off.
func (r *Relay) watch(ctx context.Context) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			r.renew(now)
			ticker.Reset(watchEvery) // of a file that is being written, the next look must not come too soon
		}
	}
}

// renew asks anew what everybody may do.
func (r *Relay) renew(now time.Time) {
	version := r.config.Keys.Version()
	networks := r.config.Networks.Refresh()
	r.mu.Lock()
	links := slices.Collect(maps.Keys(r.links))
	r.mu.Unlock()
	for _, l := range links {
		l.renew(version, now, networks)
	}
	r.presences.renew(version, now, networks)
	r.sessions.Review(version, now, networks)
}

// renew ends the link if its login is no longer good, and has it reviewed if
// its grant has changed.
func (l *link) renew(version uint64, now time.Time, networks bool) {
	before := l.lease.Grant()
	err := l.lease.Renew(version, now)
	switch {
	case errors.Is(err, access.ErrExpired):
		l.log.Info("certificate expired", "fingerprint", l.grant.Fingerprint, "cause", err)
		l.end(fmt.Errorf("%w: %w", errExpired, err))
		return
	case err != nil:
		l.log.Warn("access revoked", "fingerprint", l.grant.Fingerprint, "cause", err)
		l.end(fmt.Errorf("%w: %w", errRevoked, err))
		return
	}
	if networks || before != l.lease.Grant() {
		select {
		case l.changed <- struct{}{}:
		default: // it will be reviewed anyway
		}
	}
}

// review closes what is no longer permitted. It belongs to answerRequests.
func (l *link) review() {
	l.reviewTest()
	l.conns.review()
}
