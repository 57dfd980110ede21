package relay

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/limit"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// grantKey is where ssh.Permissions keep the grant. A client may show keys that
// it doesn't hold, and show several, so that only what comes back in the
// permissions of the finished login says who it is (CVE-2024-45337).
type grantKey struct{}

var errNoGrant = errors.New("the login brought no grant")

// login authenticates the client of transport, which the caller owns. It logs
// why it didn't.
func (r *Relay) login(ctx context.Context, transport *sshwire.Lifeline, remote netip.AddrPort) (*link, error) {
	if err := tcpio.Tune(transport); err != nil {
		r.log.Debug("tune connection", "remote", remote.String(), "error", err)
	}
	// NewServerConn knows no context; without its connection it returns.
	stop := context.AfterFunc(ctx, func() { transport.Close() })
	defer stop()
	_ = transport.SetDeadline(time.Now().Add(r.limits.LoginGraceTime)) // fails only if it is closed

	var attempt attempt
	server, channels, requests, err := ssh.NewServerConn(&greeting{Lifeline: transport}, r.serverConfig(remote, &attempt))
	if err != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, errGaveWay) {
			err = cause
		}
		if !errors.Is(cause, errStopping) {
			received, _ := transport.Moved()
			r.punish(remote, &attempt, received == 0, err)
		}
		return nil, err
	}
	_ = transport.SetDeadline(time.Time{})
	transport.Carries(server.Conn)
	grant, err := grantOf(server.Permissions)
	if err != nil {
		server.Close()
		return nil, err
	}
	return newLink(r, server, channels, requests, transport.Conn, grant, remote), nil
}

func grantOf(permissions *ssh.Permissions) (*access.Grant, error) {
	if permissions == nil {
		return nil, errNoGrant
	}
	grant, _ := permissions.ExtraData[grantKey{}].(*access.Grant)
	if grant == nil {
		return nil, errNoGrant
	}
	return grant, nil
}

// attempt is what a login said about itself, for the log alone.
type attempt struct {
	user        string
	fingerprint string
	refusal     error // of the key that tells most, see refused; nil if none was
	telling     int
}

// refused notes that a key was refused. Who has a certificate, or a key that is
// known and may not, shows more keys after it as a rule, of which nothing is known:
// those say less. Of keys alike the last counts.
func (a *attempt) refused(key ssh.PublicKey, err error) {
	telling := 0
	if certificate, ok := key.(*ssh.Certificate); ok {
		key, telling = certificate.Key, 1
	}
	if !errors.Is(err, access.ErrUnknownKey) {
		telling = 2
	}
	if a.refusal == nil || telling >= a.telling {
		a.fingerprint, a.refusal, a.telling = ssh.FingerprintSHA256(key), err, telling
	}
}

// serverConfig is the configuration for one connection.
func (r *Relay) serverConfig(remote netip.AddrPort, attempt *attempt) *ssh.ServerConfig {
	config := *r.server
	config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) { // #nosec G408 -- attempt is for the log alone; who it is comes back in the permissions
		grant, err := r.config.Keys.Authorize(meta.User(), key, remote.Addr(), time.Now())
		attempt.user = meta.User()
		if err != nil {
			attempt.refused(key, err)
			return nil, err
		}
		attempt.refusal = nil
		return permissions(grant), nil
	}
	return &config
}

func permissions(grant *access.Grant) *ssh.Permissions {
	p := &ssh.Permissions{ExtraData: map[any]any{grantKey{}: grant}}
	if grant.NoTouchRequired {
		p.Extensions = map[string]string{"no-touch-required": ""} // known to x/crypto/ssh
	}
	return p
}

// punish logs a login that failed and adds to its source's penalties. Whatever
// connects to a public port without even showing a key is no news; and where an
// agent logged in before, it is half a login that a broken line has left behind.
// Who goes without a word has cost nothing: it may be one of the connects that an
// agent has made one beside the other while its line was down, of which the first
// to come through was enough.
func (r *Relay) punish(remote netip.AddrPort, attempt *attempt, silent bool, err error) {
	now := time.Now()
	amount := r.limits.Penalties.NoAuth
	switch {
	case attempt.refusal != nil:
		amount = r.limits.Penalties.AuthFail
		if held, ok := r.refused.allow(remote.Addr(), now); ok {
			r.log.Warn("login refused", "remote", remote.String(), "user", attempt.user,
				"fingerprint", attempt.fingerprint, "cause", attempt.refusal, "held_back", held)
		}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, errGaveWay):
		amount = r.limits.Penalties.GraceExceeded
		r.log.Debug("login took too long", "remote", remote.String())
	default:
		r.log.Debug("connection ended before a login", "remote", remote.String(), "cause", err)
		if silent {
			return
		}
	}
	if attempt.refusal == nil && r.startups.knows(remote.Addr()) {
		return
	}
	if kept := r.book.add(remote.Addr(), amount, now); kept > 0 {
		r.log.Warn("source kept out", "source", r.limits.source(remote.Addr()).String(), "duration", kept)
	}
}

// refusals bounds the log lines about refused logins, for each source and in
// all.
type refusals struct {
	source   func(netip.Addr) netip.Prefix
	bySource *limit.Buckets
	all      *limit.Buckets
	held     *atomic.Int64 // lines since the last that was let through
}

func newRefusals(l Limits) refusals {
	return refusals{
		source:   l.source,
		bySource: limit.NewBuckets(rateSources, refusedPerSource, refusedPerSourceBurst),
		all:      limit.NewBuckets(1, refusedInAll, refusedInAllBurst),
		held:     new(atomic.Int64),
	}
}

// allow says whether to log one more, and how many were held back before.
func (r refusals) allow(remote netip.Addr, now time.Time) (held int64, ok bool) {
	if !r.bySource.Take(r.source(remote), now) || !r.all.Take(netip.Prefix{}, now) {
		r.held.Add(1)
		return 0, false
	}
	return r.held.Swap(0), true
}
