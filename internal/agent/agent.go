// Package agent is the SSH client that exposes targets through a relay. It
// keeps one link for all TCP forwards, which speaks nothing but the standard
// tcpip-forward of RFC 4254 §7 and so works with any SSH server, and leaves UDP
// to internal/replay, for which it dials links of their own ("lanes").
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"funnel/internal/forward"
	"funnel/internal/instance"
	"funnel/internal/limit"
	"funnel/internal/netwatch"
	"funnel/internal/pace"
	"funnel/internal/replay"
	"funnel/internal/resume"
	"funnel/internal/trust"
)

// Config is what an agent is made of. It must not be changed after New.
type Config struct {
	Address  string           // the relay, as host:port to dial
	User     string           // whom to log in as
	Auth     []ssh.AuthMethod // used by several logins, one after the other or at once
	HostKeys HostKeys
	Forwards []forward.Forward

	KeepaliveInterval time.Duration // between two questions to a silent relay
	KeepaliveCount    int           // unanswered questions after which a link is dead

	// ExitOnForwardFailure makes Run return ErrForward as soon as one forward
	// is refused. Otherwise the others go on, and a refused one is asked for
	// again unless the relay forbids it.
	ExitOnForwardFailure bool

	// UDP. Zero values stand for the defaults of replay.Config.
	UDPIdle  time.Duration // after which a flow ends
	MaxFlows int
	Lanes    int           // links that carry UDP, kept up at once
	Copies   int           // of each datagram, on different lanes
	MaxDelay time.Duration // after which a waiting datagram is dropped

	// BulkRate bounds what the TCP forwards together send to the relay. For 0
	// they are held back while datagrams flow and wait for them; see pace.
	BulkRate pace.Rate

	// Instance tells the relay who this is, so that it keeps the agent's ports and
	// connections for it while there is no link; zero for nobody.
	Instance instance.Instance
	// TCPResume is how long forwarded TCP connections outlive their link; 0 turns
	// that off.
	TCPResume time.Duration

	Name    string // of this agent, for the relay's log; may be empty
	Version string // of the program, told to the relay in the SSH version string
	Log     *slog.Logger
	Report  func(Report) // called one at a time and must not block for long; may be nil
}

// HostKeys decides whether a relay's host key may be trusted, as trust.Verifier
// does. Its methods are called for each login and may be called at once.
type HostKeys interface {
	// Callback is for one connection to address. ctx ends a question to a
	// person.
	Callback(ctx context.Context, address string) ssh.HostKeyCallback
	// Algorithms is what may be asked of address; empty for the library's
	// default.
	Algorithms(address string) []string
}

var _ HostKeys = (*trust.Verifier)(nil)

// Agent keeps forwards up. Make one with New.
type Agent struct {
	config  Config
	host    string // of Address
	dialer  *dialer
	board   *board
	tcp     []int    // indexes of the TCP forwards in config.Forwards
	udp     []int    // and of the UDP ones
	granted []uint16 // the port each forward was last bound to; the TCP link's own
	uptime  *uptime
	conns   *limit.Counter // of all connections; see maxConns
	carried carried
	spare   *resume.Spare
	lasting context.Context // ends with Run, which sets it
	started time.Time

	gatewayPorts sync.Once                    // warns of sshd's default
	group        atomic.Pointer[replay.Group] // carries UDP, once Run has begun and if there is any
}

// New checks config. It opens nothing.
func New(config Config) (*Agent, error) {
	host, _, err := net.SplitHostPort(config.Address)
	if err != nil {
		return nil, fmt.Errorf("read relay address %q: %w", config.Address, err)
	}
	if len(config.Forwards) == 0 {
		return nil, errors.New("nothing to expose: no forward was given")
	}
	if config.HostKeys == nil {
		return nil, errors.New("no way to check the relay's host key was given")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	uptime := newUptime(config.Log)
	a := &Agent{
		config:  config,
		host:    host,
		dialer:  newDialer(config),
		board:   newBoard(host, config, uptime.works),
		granted: make([]uint16, len(config.Forwards)),
		uptime:  uptime,
		started: time.Now(),
		conns:   limit.NewCounter(maxConns),
		spare:   resume.NewSpare(resume.DefaultSpare),
	}
	for i, f := range config.Forwards {
		if f.Network == forward.UDP {
			a.udp = append(a.udp, i)
		} else {
			a.tcp = append(a.tcp, i)
		}
	}
	return a, nil
}

// Run keeps the forwards up until ctx ends, which isn't an error, or until
// something happens that a retry can't mend; see Permanent. When it returns,
// every connection is closed and everything it started has stopped. Run must
// be called once.
func (a *Agent) Run(ctx context.Context) error {
	outer := ctx
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	a.lasting = lasting
	defer a.carried.tasks.Wait()
	defer end()
	defer a.board.close()
	defer a.dialer.resolver.stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.watchNetwork(ctx) })
	if len(a.tcp) > 0 {
		group.Go(func() error { return a.keepLink(ctx) })
	}
	if len(a.udp) > 0 {
		group.Go(func() error { return a.keepLanes(ctx) })
	}
	err := group.Wait()
	if outer.Err() != nil && !Permanent(err) {
		return nil
	}
	return err
}

// watchNetwork has dead paths noticed and links dialled at once when the host's
// network changes, until ctx ends.
func (a *Agent) watchNetwork(ctx context.Context) error {
	watcher := netwatch.New(a.config.Log)
	var watching sync.WaitGroup
	watching.Go(func() { watcher.Run(ctx) })
	defer watching.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case change := <-watcher.Changes():
			a.config.Log.Info("the network has changed", "change", change.String())
			a.dialer.paths.changed()
		}
	}
}

// playing reports whether datagrams are sent to the relay.
func (a *Agent) playing() bool {
	group := a.group.Load()
	return group != nil && group.Playing()
}

// public is where clients reach a forward that the relay bound at host and
// port: a wildcard stands for the relay itself, under the name we know it by.
func (a *Agent) public(bound string, port uint16) string {
	switch bound {
	case "", "*", "0.0.0.0", "::":
		bound = a.host
	}
	return net.JoinHostPort(bound, strconv.Itoa(int(port)))
}
