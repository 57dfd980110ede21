package session

import "time"

// Tunables of this package, each with its reason.
const (
	// DefaultIdle ends a flow. NATs on the way forget a UDP mapping after two
	// to five minutes (RFC 4787 REQ-5), so a client that was silent longer
	// comes back as another one anyway.
	DefaultIdle = 3 * time.Minute

	// DefaultMaxFlows bounds a session's flows: several full game servers,
	// and about a kilobyte each.
	DefaultMaxFlows = 20000

	// helloTimeout is how long a lane may take from the subsystem request to
	// its open control stream: a few round trips of any path.
	helloTimeout = 15 * time.Second

	// farewell is how long an agent may take to read why its lane ends, and to
	// close the channel after that, before its connection is closed: more than
	// a round trip of any path.
	farewell = time.Second

	// DefaultGrace is how long a session without lanes keeps its ports for an
	// agent that comes back: a router starts again, or a computer, within that.
	DefaultGrace = time.Minute

	// maxBindings bounds a session's public sockets: each costs a goroutine
	// and a descriptor.
	maxBindings = 1024

	// maxSessions bounds the sessions of one key: more agents than anyone
	// runs with one key, few enough to bound what a stolen one costs.
	maxSessions = 256

	// dropReport is how often a session that loses datagrams says so.
	dropReport = 10 * time.Second

	// sweepParts and sweepMost: idle flows are looked for a few times in the
	// idle time, and at least so often.
	sweepParts = 8
	sweepMost  = 10 * time.Second

	// newcomersPerNetwork is how many flows a second clients of one network may
	// begin, over all ports, and newcomersPerPort how many a port takes from
	// anywhere; with newcomerBurst and newcomerPortBurst seconds' worth at once.
	// A full game server that restarts sees its players come back within
	// seconds, a LAN party has one address; forged sources come in hundreds of
	// thousands, and each that is let in costs the agent a socket for
	// flow.PendingIdle. To open one takes 60 us, in which those who play wait:
	// 60 ms for what a port lets in at once.
	newcomersPerNetwork = 250
	newcomersPerPort    = 500
	newcomerBurst       = 8
	newcomerPortBurst   = 2

	// localhostTries is how often a free port is asked of the kernel that must be
	// free in both families.
	localhostTries = 16

	// fewPending is how many pending flows don't count as a flood: as many players
	// as join a full server at once.
	fewPending = 64

	// newcomerNetworks is for how many networks that is told apart, in 16 bytes
	// each; newcomerBits4 and newcomerBits6 are what of an address is its
	// network: the smallest that is routed by itself, and what a site is given
	// (RFC 6177).
	newcomerNetworks = 1 << 14
	newcomerBits4    = 24
	newcomerBits6    = 56
)
