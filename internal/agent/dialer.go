package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// dialer makes links to the relay. Safe for concurrent use.
type dialer struct {
	config   Config
	paths    *paths
	resolver *resolver

	// first, one slot, is held by a login until one has succeeded, so that a person is
	// asked one question at a time, and asked it once.
	first chan struct{}

	mu        sync.Mutex
	loggedIn  bool
	refusals  int       // in a row, since the last login; see refusalSpacing
	refused   time.Time // when the last of them came
	permanent error     // what no later dial will mend either
}

func newDialer(config Config) *dialer {
	return &dialer{config: config, paths: newPaths(), first: make(chan struct{}, 1), resolver: newResolver(net.DefaultResolver.LookupNetIP)}
}

// dial connects to the relay and logs in. The name is looked up each time, as
// the relay may have moved. An error is permanent in the sense of Permanent
// when a retry can't mend it. It calls reached once the relay's host has answered.
//
// A sentinel is a link that asks for signs of life also while all is quiet, so
// that the others needn't.
func (d *dialer) dial(ctx context.Context, reached func(), sentinel bool) (*link, error) {
	release, err := d.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := d.verdict(); err != nil {
		return nil, err
	}
	conn, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	reached()
	l, err := d.handshake(ctx, conn, sentinel)
	return l, d.note(err)
}

// turn waits until a login may begin; release is to be called at its end. Those who
// wait for the first one to succeed don't wait for each other after that.
func (d *dialer) turn(ctx context.Context) (release func(), err error) {
	if d.hasLoggedIn() {
		return func() {}, nil
	}
	select {
	case d.first <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	release = func() { <-d.first }
	if d.hasLoggedIn() {
		release()
		return func() {}, nil
	}
	return release, nil
}

// connect is the TCP part.
func (d *dialer) connect(ctx context.Context) (*tcpio.Conn, error) {
	raw, err := dialTCP(ctx, d.resolver.lookup, d.config.Address)
	if err != nil {
		return nil, &unreachedError{fmt.Errorf("connect to %s: %w", d.config.Address, err)}
	}
	if to, ok := raw.RemoteAddr().(*net.TCPAddr); ok {
		d.resolver.connected(to.AddrPort().Addr())
	}
	if err := tcpio.Tune(raw); err != nil {
		d.config.Log.Debug("tune connection to relay", "error", err)
	}
	return tcpio.NewConn(raw), nil
}

// handshake makes conn, which it owns, a link.
func (d *dialer) handshake(ctx context.Context, conn *tcpio.Conn, sentinel bool) (*link, error) {
	// A question to a person isn't left standing when the login fails.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// NewClientConn knows no context; without its connection it returns.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	life, end := context.WithCancelCause(context.Background())
	lifeline := sshwire.NewLifeline(conn, end)
	clock := &loginClock{conn: conn}
	clock.allow(exchangeTimeout)
	address := d.config.Address
	sshConn, channels, requests, err := ssh.NewClientConn(lifeline, address, d.clientConfig(ctx, clock))
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !clock.stopped() && isHangUp(err) {
			return nil, hungUp(address)
		}
		return nil, classify(fmt.Errorf("log in to %s: %w", address, err), d.config.User, address)
	}
	clock.finish()
	lifeline.Carries(sshConn)
	quiet, patience := d.config.KeepaliveInterval, d.config.KeepaliveInterval*time.Duration(d.config.KeepaliveCount)
	if sentinel {
		quiet = min(quiet, sentinelQuiet)
	}
	return &link{
		Conn: sshConn, life: life, channels: channels, requests: requests, transport: conn, socket: tcpio.NewSocket(conn),
		vigil: sshwire.NewVigil(conn, sshConn, quiet, patience), paths: d.paths,
	}, nil
}

func (d *dialer) clientConfig(ctx context.Context, clock *loginClock) *ssh.ClientConfig {
	config := sshwire.ClientConfig(d.config.Version)
	config.User = d.config.User
	config.Auth = d.config.Auth
	timeout := loginTimeout
	if d.hasLoggedIn() {
		timeout = reloginTimeout
	}
	check := d.config.HostKeys.Callback(ctx, d.config.Address)
	config.HostKeyCallback = func(hostname string, remote net.Addr, key ssh.PublicKey) error {
		clock.pause()
		defer clock.allow(timeout)
		return check(hostname, remote, key)
	}
	config.HostKeyAlgorithms = d.config.HostKeys.Algorithms(d.config.Address)
	return config
}

// loginClock is the deadline of a login. It stands still while a person may be
// thinking, which is when the relay has shown its host key. Key exchanges later in
// a link's life check the host key once more, and must not start it again.
type loginClock struct {
	mu       sync.Mutex
	conn     net.Conn
	paused   bool // at least once
	finished bool
}

func (c *loginClock) allow(timeout time.Duration) { c.set(time.Now().Add(timeout)) }

func (c *loginClock) pause() {
	c.mu.Lock()
	c.paused = true
	c.mu.Unlock()
	c.set(time.Time{})
}

// stopped says whether it has stood still.
func (c *loginClock) stopped() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.paused
}

// finish takes the deadline away for good.
func (c *loginClock) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = true
	_ = c.conn.SetDeadline(time.Time{})
}

// set ignores the error: only a closed connection gives one, and whoever reads
// or writes next will see that.
func (c *loginClock) set(deadline time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.finished {
		_ = c.conn.SetDeadline(deadline)
	}
}

func (d *dialer) hasLoggedIn() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.loggedIn
}

func (d *dialer) verdict() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.permanent
}

// note draws the conclusions from a login that ended with err, and returns what
// the caller is to make of it.
func (d *dialer) note(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		d.loggedIn = true
		d.refusals = 0
		return nil
	case !Permanent(err):
		return err
	case d.loggedIn && errors.Is(err, ErrAuth):
		if now := time.Now(); d.refusals == 0 || now.Sub(d.refused) >= refusalSpacing {
			d.refusals++
			d.refused = now
		}
		if d.refusals < refusalsAfterLogin {
			// Not wrapped: it isn't permanent yet.
			return fmt.Errorf("%v; one was accepted before, so asking again", err)
		}
	}
	d.permanent = err
	return err
}
