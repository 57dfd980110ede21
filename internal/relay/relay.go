// Package relay is the SSH server of funnel-relay. It lets authenticated
// clients forward TCP ports as RFC 4254 §7 has it, so that any SSH client will
// do, and gives UDP to internal/session by way of a subsystem. It knows no
// passwords, no shell and no commands.
//
// The way of a connection: [Relay.Run] accepts it, login.go authenticates it
// and makes it a link, link.go owns everything that belongs to the link and
// ends with it. requests.go answers tcpip-forward, whose listeners binding.go
// serves; each conn of a client is carried by conn.go. channels.go takes what
// the link's client opens.
package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/obs"
	"funnel/internal/pace"
	"funnel/internal/resume"
	"funnel/internal/session"
	"funnel/internal/sshwire"
	"funnel/internal/tcpio"
)

// Config is what a relay is made of. It must not be changed after New.
type Config struct {
	Listen    []string       // addresses to listen on, as "host:port"; port 0 lets the system choose
	Listeners []net.Listener // taken instead, if there are any; Run closes them
	HostKeys  []ssh.Signer   // at least one, each of a different type
	Keys      *access.Keys
	Networks  *access.Networks // of clients that may reach public ports; nil means all
	Limits    Limits

	KeepaliveInterval time.Duration // between two questions to a silent client; 0 means none
	KeepaliveCount    int           // unanswered questions after which a link is given up

	// For UDP, see session.Config.
	UDPIdle  time.Duration
	MaxFlows int
	MaxDelay time.Duration
	Copies   int

	// Grace is how long the ports of an agent that is away are kept; 0 means
	// DefaultGrace.
	Grace time.Duration

	// BulkRate bounds what the TCP forwards of one link send to its agent. For
	// 0 they are held back while datagrams flow and wait for them; see pace.
	BulkRate pace.Rate

	Version string       // of the program, told in the SSH version string
	Log     *slog.Logger // nil means none
}

// Relay is an SSH server. Make one with New, then call Listen and Run.
type Relay struct {
	config     Config // static, as all down to the blank line
	log        *slog.Logger
	server     *ssh.ServerConfig // without what depends on the connection
	sessions   *session.Registry
	presences  *presences
	limits     Limits
	startups   *startups
	book       *book
	counters   counters
	perKey     *tally
	refused    refusals
	crowded    obs.Throttle // connections that aren't let in
	turnedAway obs.Throttle // clients that are reset
	starved    obs.Trouble  // the system gives no connections
	spare      *resume.Spare
	arrivals   atomic.Uint64 // connections so far

	listeners []net.Listener // owned by who calls Listen and Run

	mu    sync.Mutex
	links map[*link]struct{} // guarded by mu; those that are logged in
}

// New checks config. It opens nothing.
func New(config Config) (*Relay, error) {
	switch {
	case len(config.Listen)+len(config.Listeners) == 0:
		return nil, errors.New("no address to listen on was given")
	case len(config.HostKeys) == 0:
		return nil, errors.New("no host key was given")
	case config.Keys == nil:
		return nil, errors.New("nobody to say which keys may log in was given")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	server := sshwire.ServerConfig(config.Version)
	seen := make(map[string]bool)
	for _, key := range config.HostKeys {
		if kind := key.PublicKey().Type(); seen[kind] {
			return nil, fmt.Errorf("two host keys are of the type %s: leave one out", kind)
		}
		seen[key.PublicKey().Type()] = true
		hostKey, err := sshwire.HostKey(key)
		if err != nil {
			return nil, err
		}
		server.AddHostKey(hostKey)
	}
	config.Grace = cmp.Or(config.Grace, DefaultGrace)
	limits := config.Limits.withDefaults()
	server.MaxAuthTries = limits.MaxAuthTries
	all := newCounters(limits)
	r := &Relay{
		config: config,
		log:    config.Log,
		server: server,
		limits: limits,
		sessions: session.NewRegistry(session.Config{
			Idle: config.UDPIdle, MaxFlows: config.MaxFlows, MaxDelay: config.MaxDelay, Copies: config.Copies, Log: config.Log,
			Grace: config.Grace, Networks: config.Networks, AllFlows: all.flows, AllForwards: all.forwards,
		}),
		startups: newStartups(limits),
		book:     newBook(limits),
		counters: all,
		perKey:   newTally(maxLinksPerKey),
		refused:  newRefusals(limits),
		links:    make(map[*link]struct{}),
		spare:    resume.NewSpare(resume.DefaultSpare),
	}
	r.presences = newPresences(r)
	return r, nil
}

// ListenError says on which of the addresses a relay can't listen.
type ListenError struct {
	Address string // as in Config
	Err     error
}

func (e *ListenError) Error() string { return fmt.Sprintf("listen on %s: %v", e.Address, e.Err) }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen opens the listeners and returns their addresses, in the order of the
// configuration and with the ports that the system chose. It opens all or, with
// an error that is a *ListenError, none. Run must be called after it, and closes
// them. Listeners that were given are as good as opened.
func (r *Relay) Listen() ([]net.Addr, error) {
	var addresses []net.Addr
	if len(r.config.Listeners) > 0 {
		r.listeners = r.config.Listeners
		for _, listener := range r.listeners {
			addresses = append(addresses, listener.Addr())
		}
		return addresses, nil
	}
	for _, address := range r.config.Listen {
		listener, err := listenConfig.Listen(context.Background(), "tcp", address)
		if err != nil {
			r.closeListeners()
			r.listeners = nil
			return nil, &ListenError{Address: address, Err: err}
		}
		r.listeners = append(r.listeners, listener)
		addresses = append(addresses, listener.Addr())
	}
	return addresses, nil
}

// Run serves until ctx ends, which isn't an error. It calls Listen unless that
// was done. When it returns, every link and port is closed and everything it
// started has stopped. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	if r.listeners == nil {
		if _, err := r.Listen(); err != nil {
			return err
		}
	}
	// The links outlive the listeners a little: their UDP sessions say goodbye.
	linksCtx, endLinks := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endLinks(nil)
	var accepting, links sync.WaitGroup
	for _, listener := range r.listeners {
		accepting.Go(func() {
			r.accept(ctx, listener, func(conn net.Conn) {
				number := r.arrivals.Add(1)
				links.Go(func() { r.serve(linksCtx, conn, number) })
			})
		})
	}
	accepting.Go(func() { r.watch(ctx) })
	<-ctx.Done()
	r.closeListeners()
	accepting.Wait()
	r.sessions.Close()
	r.presences.close()
	endLinks(errStopping)
	links.Wait()
	r.presences.ending.Wait()
	return nil
}

// errStopping is why links end when the relay does.
var errStopping = errors.New("the relay is stopping")

func (r *Relay) closeListeners() {
	for _, listener := range r.listeners {
		_ = listener.Close()
	}
}

// serve is one connection from its beginning to its end. Its number is higher than
// that of all that came before.
func (r *Relay) serve(ctx context.Context, conn net.Conn, number uint64) {
	defer conn.Close()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	remote := addrPort(conn.RemoteAddr())
	release, ok := r.admit(remote, func() { end(errGaveWay) })
	if !ok {
		return
	}
	l, err := r.login(ctx, sshwire.NewLifeline(tcpio.NewConn(conn), end), remote)
	release()
	if err != nil {
		return
	}
	l.number = number
	r.startups.remember(remote.Addr(), time.Now())
	l.run(ctx, end)
}

// errGaveWay is why a connection ends that took longer to log in than others had
// the patience for.
var errGaveWay = errors.New("others wait to log in")

// admit lets a connection in that isn't logged in yet, until release is called.
// It is ended by yield if others need its place first.
func (r *Relay) admit(remote netip.AddrPort, yield func()) (release func(), ok bool) {
	now := time.Now()
	cause := "its source is kept out for what it did"
	if !r.book.keepsOut(remote.Addr(), now) {
		if release, cause = r.startups.admit(remote.Addr(), now, yield); cause == "" {
			return release, true
		}
	}
	if held, ok := r.crowded.Allow(now); ok {
		r.log.Warn("connection refused", "remote", remote.String(), "cause", cause, "held_back", held)
	}
	return nil, false
}

// addrPort is the address of a TCP connection, an IPv4 address never in its
// IPv6 form.
func addrPort(addr net.Addr) netip.AddrPort {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	found := tcp.AddrPort()
	return netip.AddrPortFrom(found.Addr().Unmap(), found.Port())
}
