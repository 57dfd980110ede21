package relay

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"funnel/internal/access"
	"funnel/internal/limit"
)

// Why conns end that weren't done.
var (
	errRevoked   = errors.New("access was revoked")
	errExpired   = errors.New("the certificate expired")
	errForbidden = errors.New("it is no longer permitted")
)

// conns are those of a link or a presence, to be opened or open. Safe for
// concurrent use.
type conns struct {
	lease func() *access.Lease
	all   *limit.Counter // of the relay
	place slots

	mu   sync.Mutex
	live map[*liveConn]struct{} // guarded by mu
}

func newConns(lease func() *access.Lease, all *limit.Counter) *conns {
	return &conns{lease: lease, all: all, place: make(slots, maxConns), live: make(map[*liveConn]struct{})}
}

// liveConn is a conn that may have to end early.
type liveConn struct {
	permitted func() bool
	end       context.CancelCauseFunc
}

// take takes a place for one more, of the link or presence, the key and the relay.
func (c *conns) take() (release func(), ok bool) {
	if !c.place.take() {
		return nil, false
	}
	if !c.all.Take() {
		c.place.give()
		return nil, false
	}
	give, ok := c.lease().TakeConn()
	if !ok {
		c.all.Give()
		c.place.give()
		return nil, false
	}
	return func() {
		give()
		c.all.Give()
		c.place.give()
	}, true
}

// watch returns a context that ends when permitted no longer says yes. leave
// must be called at the conn's end.
func (c *conns) watch(ctx context.Context, permitted func() bool) (watched context.Context, leave func()) {
	ctx, end := context.WithCancelCause(ctx)
	l := &liveConn{permitted: permitted, end: end}
	c.mu.Lock()
	c.live[l] = struct{}{}
	c.mu.Unlock()
	return ctx, func() {
		c.mu.Lock()
		delete(c.live, l)
		c.mu.Unlock()
		end(nil)
	}
}

// review ends those that are no longer permitted.
func (c *conns) review() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.live {
		if !l.permitted() {
			l.end(errForbidden)
		}
	}
}

// welcome says whether a client may reach a public port.
func (r *Relay) welcome(client netip.Addr, port uint16) bool {
	return r.config.Networks.Allows(client, "tcp", port)
}
