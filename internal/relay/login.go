package relay

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/tcpio"
)

// grantKey is where ssh.Permissions keep the grant. A client may show keys that
// it doesn't hold, and show several, so that only what comes back in the
// permissions of the finished login says who it is (CVE-2024-45337).
type grantKey struct{}

var errNoGrant = errors.New("the login brought no grant")

// login authenticates the client of transport, which the caller owns. It logs
// why it didn't.
func (r *Relay) login(ctx context.Context, transport *endWatch, remote netip.AddrPort) (*link, error) {
	if err := tcpio.Tune(transport); err != nil {
		r.log.Debug("tune connection", "remote", remote.String(), "error", err)
	}
	// NewServerConn knows no context; without its connection it returns.
	stop := context.AfterFunc(ctx, func() { transport.Close() })
	defer stop()
	_ = transport.SetDeadline(time.Now().Add(handshakeTimeout)) // fails only if it is closed

	var attempt attempt
	server, channels, requests, err := ssh.NewServerConn(transport, r.serverConfig(remote, &attempt))
	if err != nil {
		r.logRefused(remote, &attempt, err)
		return nil, err
	}
	_ = transport.SetDeadline(time.Time{})
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
	user    string
	refusal error // of the last key shown
}

// serverConfig is the configuration for one connection.
func (r *Relay) serverConfig(remote netip.AddrPort, attempt *attempt) *ssh.ServerConfig {
	config := *r.server
	config.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		grant, err := r.config.Keys.Authorize(meta.User(), key, remote.Addr(), time.Now())
		attempt.user, attempt.refusal = meta.User(), err
		if err != nil {
			return nil, err
		}
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

// logRefused logs a login that failed. Whatever connects to a public port
// without even showing a key is no news.
func (r *Relay) logRefused(remote netip.AddrPort, attempt *attempt, err error) {
	if attempt.refusal == nil {
		r.log.Debug("connection ended before a login", "remote", remote.String(), "cause", err)
		return
	}
	held, ok := r.refused.Allow(time.Now())
	if !ok {
		return
	}
	arguments := []any{"remote", remote.String(), "user", attempt.user, "cause", attempt.refusal}
	if held > 0 {
		arguments = append(arguments, "held_back", held)
	}
	r.log.Warn("login refused", arguments...)
}
