package relay

import "time"

// Tunables of this package, each with its reason.
const (
	// handshakeTimeout bounds the time from a connection to an authenticated
	// link. It takes a few round trips and, at the client, maybe a passphrase:
	// clients ask for that before they connect or have it in an agent.
	handshakeTimeout = 15 * time.Second

	// maxStartupsPerSource bounds the connections of one source that aren't
	// authenticated yet, so that one stranger can't keep everybody else out. A
	// home with several agents, each with several lanes, may come back all at
	// once.
	maxStartupsPerSource = 32

	// reservedStartups are places for sources that logged in before, beyond
	// those that strangers may take; maxKnown is how many of them are
	// remembered, some 100 bytes each.
	reservedStartups = 128
	maxKnown         = 4096

	// loginTime is what a connection has to log in while others wait for its
	// place: a login takes six round trips, and hardly one takes half a second.
	loginTime = 3 * time.Second

	// rateSources is for how many sources the rate of new connections is told
	// apart, in 16 bytes each; rateBurst is for how many seconds' worth of them
	// may come at once.
	rateSources = 1 << 14
	rateBurst   = 4

	// authTries is how many keys a client may show, as in sshd (MaxAuthTries).
	authTries = 6

	// maxLinks, maxForwards, maxAllConns and maxAllFlows bound what all agents
	// together take: some 100 KiB a link, a descriptor a forward, 25 KiB and a
	// descriptor a conn, 2 KiB a flow.
	maxLinks    = 4096
	maxForwards = 8192
	maxAllConns = 20000
	maxAllFlows = 65536

	// watchEvery is how often the operator's files are looked at. What he changes
	// counts when the second look finds it the same, so within two seconds with
	// what there is to end: few who write a file take longer than one interval
	// for it. Each look wakes an idle relay.
	watchEvery = 750 * time.Millisecond

	// refusedPerSource and refusedInAll bound the log lines about refused logins
	// a second, with so many at once before that: fail2ban wants a few of each
	// source, who debugs a login all of his own, nobody a full disk.
	refusedPerSource      = 0.5
	refusedPerSourceBurst = 60
	refusedInAll          = 50
	refusedInAllBurst     = 1000

	// maxLinksPerKey bounds what one key, perhaps a stolen one, costs. It is
	// more agents, with several lanes each, than anyone runs with one key.
	maxLinksPerKey = 512

	// DefaultGrace is how long the ports of an agent that is away are kept: a
	// router starts again, or a computer, within that.
	DefaultGrace = time.Minute

	// MaxGrace bounds what an operator may make of it: ports that nobody serves
	// for a day are a mistake.
	MaxGrace = 24 * time.Hour

	// maxResume bounds how long an agent may have its conns be kept without a
	// link: longer than that, the two ends of a connection have forgotten what it
	// was about.
	maxResume = time.Hour

	// maxBindings bounds the forwarded ports of a link: each costs a
	// descriptor and a goroutine. Games' ranges are tens of ports wide.
	maxBindings = 1024

	// maxConns bounds the conns of a link, those to be opened included: half of
	// what all may have, so that one leaves room for others. An idle one costs
	// some 25 KiB; one whose client doesn't read may hold the 2 MiB of a
	// channel's window besides, which x/crypto/ssh has fixed, and a few more at
	// a time what resume.DefaultSpare lets them have.
	maxConns = maxAllConns / 2

	// maxOpening bounds the conns of a binding that wait for the client to take
	// them. It covers a burst of clients within the time a target takes to
	// answer; further ones are reset.
	maxOpening = 256

	// openTimeout bounds how long a conn waits for the link's client to take
	// it, which includes its connect to the target. Agents give up after 10 s;
	// OpenSSH's client takes its kernel's time, but nobody waits this long.
	openTimeout = 30 * time.Second

	// maxSessions bounds the session channels of a link. A lane has one, and
	// OpenSSH's client at most a handful.
	maxSessions = 16

	// testTime is how long a pair of test ports is open: a measurement of 90 s
	// and what comes before and after. An agent that wants more asks again.
	testTime = 2 * time.Minute

	// maxTestConns bounds the connections to a test port at a time. A
	// measurement has two, an echo and a transfer; more are the agent's mistake.
	maxTestConns = 8

	// maxNote bounds, in bytes, what the client is told about a test port that
	// it doesn't get: two sentences.
	maxNote = 500

	// tokenTime bounds how long a connection to a test port may take to show
	// its token: three lost segments are made up for within 10 s.
	tokenTime = 10 * time.Second

	// dialTimeout bounds the connect for a direct-tcpip channel. Three lost
	// SYNs are made up for within 10 s.
	dialTimeout = 10 * time.Second

	// localhostTries is how often a free port is asked of the kernel that
	// must be free in both families.
	localhostTries = 16

	// acceptPauseFirst and acceptPauseMost bound the wait after an Accept that
	// failed, mostly for want of descriptors, which only time gives back.
	acceptPauseFirst = 5 * time.Millisecond
	acceptPauseMost  = time.Second
)

// DefaultMaxStartups begins to drop strangers' connections, each of which costs
// some 100 KiB, at twice what a home with many agents opens at once.
var DefaultMaxStartups = MaxStartups{Start: 64, Rate: 30, Full: 256}
