// Package replay is the agent's half of UDP over SSH. A [Group] keeps the
// agent's lanes up, asks the relay for the public sockets, and replays each
// flow's datagrams to its target from a socket of the flow's own, so that the
// server can tell its clients apart.
package replay

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"funnel/internal/flow"
	"funnel/internal/forward"
	"funnel/internal/instance"
	"funnel/internal/keep"
	"funnel/internal/lane"
	"funnel/internal/obs"
	"funnel/internal/tcpio"
	"funnel/proto"
)

// Lane is one authenticated SSH connection with the subsystem of UDP running on
// a session channel.
type Lane struct {
	Channel io.ReadWriteCloser
	Socket  *tcpio.Socket // the TCP connection below, may be nil
	End     func() error  // ends the connection; may be called twice

	// Another opens another such channel, for a relay that has refused what was
	// asked for on the first; may be nil. End ends it, too.
	Another func() (io.ReadWriteCloser, error)

	// Doubtful says whether the connection may be dead, see keep.Line; may be nil.
	Doubtful func() (doubt bool, changed <-chan struct{})

	// Up is called when the lane begins to carry datagrams, Down when it no longer
	// does, each at most once and with the group locked: they must not block, nor
	// call the group. Either may be nil.
	Up   func()
	Down func(cause error)

	// RTT is the connection's round trip, 0 if it isn't known; may be nil.
	RTT func() time.Duration
}

// Close ends the lane.
func (l *Lane) Close() error { return l.End() }

// Doubt says whether the lane may be dead; see keep.Line.
func (l *Lane) Doubt() (doubt bool, changed <-chan struct{}) {
	if l.Doubtful == nil {
		return false, nil
	}
	return l.Doubtful()
}

// Config is what a Group needs to know. Zero values mean the defaults.
type Config struct {
	// Dial opens a lane. It is called again, with growing waits in between,
	// whenever a lane is missing, and beside a lane that may be dead. About those
	// after it see keep.Config; any of them may be nil.
	Dial      func(ctx context.Context, reached func()) (*Lane, error)
	Permanent func(error) bool
	Unreached func(error) bool
	Hedge     func() bool
	Kick      func() <-chan struct{}
	Lost      func(err error, retry time.Duration)

	Forwards []forward.Forward
	Instance instance.Instance // tells the relay who this is; may be zero
	Name     string            // of this agent, for the relay's log
	Lanes    int               // kept up at once, 1 to lane.MaxLanes; 0 means DefaultLanes
	Copies   int               // of each datagram on different lanes; 0 lets the group choose
	MaxDelay time.Duration     // after which a waiting datagram is dropped
	Idle     time.Duration     // after which a flow ends
	MaxFlows int

	// Bound, Refused and Down tell what became of the forwards: Bound and
	// Refused for Forwards[i] after each connect, Down when the last lane is
	// lost, with the group locked. They must not block, nor call the group.
	// Any may be nil.
	Bound   func(i int, public netip.AddrPort)
	Refused func(i int, err error)
	Down    func(err error)

	Log *slog.Logger
}

// Group carries an agent's UDP forwards.
type Group struct {
	config  Config
	set     *lane.Set
	drops   obs.Drops
	targets []*target      // of each forward
	readers sync.WaitGroup // the goroutines that read flows' sockets and look up names
	leading chan struct{}  // one slot: held while a session is begun
	sockets obs.Trouble    // no socket could be opened for a flow

	mu       sync.Mutex
	token    proto.Token // guarded by mu, as all below; zero while there is no session
	wishes   []wish      // of each forward
	slots    []*attachment
	flows    *flow.Table[*conversation]
	sweeping bool
	sweep    *time.Timer
	reported obs.DropCounts
	reportAt time.Duration
	leaving  bool // the session is ended by us
	closed   bool
}

// New makes a group; Run starts it.
func New(config Config) *Group {
	config = config.withDefaults()
	g := &Group{
		config:  config,
		leading: make(chan struct{}, 1),
		wishes:  make([]wish, len(config.Forwards)),
		slots:   make([]*attachment, config.Lanes),
		flows:   flow.NewTable[*conversation](config.MaxFlows, config.Idle),
	}
	g.set = lane.NewSet(&g.drops, config.Copies)
	for i, f := range config.Forwards {
		g.targets = append(g.targets, newTarget(g, i, f))
	}
	g.sweep = time.AfterFunc(time.Hour, g.sweepFlows)
	g.sweep.Stop()
	return g
}

// Run keeps the lanes up until ctx ends or an error is permanent, as a final
// Refusal is. By its return everything it started has stopped and, if it could be
// told, the relay has closed the public sockets.
func (g *Group) Run(ctx context.Context) error {
	ctx, giveUp := context.WithCancel(ctx)
	defer giveUp()
	// The lanes outlive ctx by as long as it takes to say goodbye.
	lanesCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var group errgroup.Group
	for slot := range g.slots {
		group.Go(func() error {
			err := g.keep(ctx, lanesCtx, slot)
			if err != nil {
				giveUp()
			}
			return err
		})
	}
	group.Go(func() error { return g.retry(ctx) })
	for _, t := range g.targets {
		t.prepare(lanesCtx)
	}
	group.Go(func() error {
		<-ctx.Done()
		g.sayGoodbye()
		cancel()
		return nil
	})
	err := group.Wait()
	cancel()
	g.close()
	g.readers.Wait()
	g.config.Log.Debug("udp ended", "lanes", g.set.Counts(), "drops", g.drops.Snapshot())
	return err
}

// Playing reports whether datagrams were sent to the relay lately.
func (g *Group) Playing() bool { return g.set.Playing() }

// keep keeps one lane up. New ones are begun until ctx ends, and live at most
// until lanesCtx does.
func (g *Group) keep(ctx, lanesCtx context.Context, slot int) error {
	err := keep.Run(ctx, keep.Config[*Lane]{
		Dial: g.config.Dial,
		Serve: func(_ context.Context, l *Lane) error {
			err := g.serve(lanesCtx, l, slot)
			g.config.Log.Debug("lane ended", "slot", slot, "cause", err)
			return err
		},
		Permanent: func(err error) bool { return isFinal(err) || g.config.Permanent(err) },
		Unreached: g.config.Unreached,
		Unwanted:  isUnwanted,
		Hedge:     g.config.Hedge,
		Kick:      g.config.Kick,
		Lost:      g.config.Lost,
		Log:       g.config.Log,
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// sayGoodbye ends the session at the relay, so that its ports are free at once,
// and waits a little for the relay to end the lanes.
func (g *Group) sayGoodbye() {
	g.mu.Lock()
	g.leaving = true
	g.mu.Unlock()
	if !g.tell(proto.Close{Code: proto.CodeClosing, Text: "the agent was stopped"}) {
		return
	}
	deadline := time.NewTimer(farewell)
	defer deadline.Stop()
	check := time.NewTicker(farewell / 100)
	defer check.Stop()
	for len(g.set.Lanes()) > 0 {
		select {
		case <-deadline.C:
			return
		case <-check.C:
		}
	}
}

// tell queues a control message on any live lane.
func (g *Group) tell(message proto.Message) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.slots {
		if a != nil && a.token == g.token && a.tell(message) {
			return true
		}
	}
	return false
}

// close ends all flows.
func (g *Group) close() {
	g.mu.Lock()
	g.closed = true
	g.sweep.Stop()
	g.mu.Unlock()
	g.endFlows(everyFlow)
}

func (c Config) withDefaults() Config {
	if c.Permanent == nil {
		c.Permanent = func(error) bool { return false }
	}
	if c.Unreached == nil {
		c.Unreached = func(error) bool { return false }
	}
	if c.Hedge == nil {
		c.Hedge = func() bool { return false }
	}
	if c.Kick == nil {
		c.Kick = func() <-chan struct{} { return nil }
	}
	if c.Lanes <= 0 {
		c.Lanes = DefaultLanes
	}
	c.Lanes = min(c.Lanes, lane.MaxLanes)
	if c.MaxDelay <= 0 {
		c.MaxDelay = lane.DefaultMaxDelay
	}
	if c.Idle <= 0 {
		c.Idle = DefaultIdle
	}
	if c.MaxFlows <= 0 {
		c.MaxFlows = DefaultMaxFlows
	}
	if c.Bound == nil {
		c.Bound = func(int, netip.AddrPort) {}
	}
	if c.Refused == nil {
		c.Refused = func(int, error) {}
	}
	if c.Down == nil {
		c.Down = func(error) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
