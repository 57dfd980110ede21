package replay

import "time"

// Tunables of this package, each with its reason.
const (
	// DefaultIdle ends a flow, as at the relay: see session.DefaultIdle.
	DefaultIdle = 3 * time.Minute

	// DefaultMaxFlows bounds the flows, each of which has a socket here.
	DefaultMaxFlows = 20000

	// DefaultLanes is how many lanes an agent keeps up: two copies of a
	// datagram can take turns on four, so that a lane that stops for a lost
	// segment holds up half of them; each costs the relay some 100 KiB.
	DefaultLanes = 4

	// helloTimeout is how long a relay may take to answer a hello.
	helloTimeout = 15 * time.Second

	// retryBind is how often a binding that was refused for a reason that may
	// pass is asked for again: soon enough for a player who waits, and an
	// agent that was restarted gets its ports back within one.
	retryBind = 5 * time.Second

	// farewell is how long the end of an agent waits for the relay to take
	// note: more than a round trip of any path.
	farewell = time.Second

	// nameAge is how long a target's address is used before its name is
	// looked up again.
	nameAge = 30 * time.Second

	// nameRetry is the least time between two look-ups of a name that has no
	// address. Datagrams that wait for one come by the thousand.
	nameRetry = 2 * time.Second

	// silent is how long a target must not have answered for a flow to it to end
	// when its name gets another address: longer than the pauses of a game that
	// goes on.
	silent = 10 * time.Second

	// dropReport is how often lost datagrams are reported.
	dropReport = 10 * time.Second

	// sweepParts and sweepMost: idle flows are looked for a few times in the
	// idle time, and at least so often.
	sweepParts = 8
	sweepMost  = 10 * time.Second

	// outboxSize bounds the control messages waiting for the relay: a bind
	// for each forward may be.
	outboxSize = 2048
)
