package agent

import "time"

const (
	// connectTimeout bounds one TCP connect to the relay, the lookup of its name
	// and all its addresses together. A reachable host answers within its round
	// trip and a lost SYN is repeated every second, so 15 s outlast many losses.
	connectTimeout = 15 * time.Second

	// connectStagger is how long one attempt to connect has before the next is
	// begun beside it, with the next address of the relay or the same again:
	// RFC 8305 §5 recommends it for addresses, and a line that is back is noticed
	// within that. An attempt costs a packet of 60 bytes. maxConnects is how many
	// there may be at once, beyond which the oldest is given up: it has had 3 s
	// for a round trip by then.
	connectStagger = 250 * time.Millisecond
	maxConnects    = 12

	// lookupPatience is how long DNS may take to name the relay's addresses before
	// the one that is known is tried instead: a resolver that works answers within
	// a round trip or two. lookupTimeout is how long it may take at all, for the next
	// dial: resolvers give each of up to three name servers 5 s, twice.
	lookupPatience = time.Second
	lookupTimeout  = 30 * time.Second

	// exchangeTimeout bounds the SSH handshake up to the relay's host key, and
	// again what follows once a person has answered a question about it. It
	// needs a few round trips and some arithmetic: the rest is slack for a
	// small VPS under load.
	exchangeTimeout = 15 * time.Second

	// loginTimeout bounds the first login, in which a person may have to type
	// a passphrase or touch a token. It is sshd's LoginGraceTime: the relay
	// wouldn't wait longer.
	loginTimeout = 2 * time.Minute

	// reloginTimeout bounds every later login: nobody is asked for a
	// passphrase again, but a token may still want its touch.
	reloginTimeout = 30 * time.Second

	// sentinelQuiet is how long all may be quiet before one link asks the relay for
	// a sign of life: the first client after a path has died waits that long, and
	// a question every two seconds costs next to nothing.
	sentinelQuiet = 2 * time.Second

	// refusalsAfterLogin is how often in a row a relay that once accepted our
	// key must refuse it before we believe it: a single refusal may have met
	// the relay's list of keys half-way through an edit. One counts only if it comes
	// refusalSpacing after the last that did, or all links at once would use them up:
	// an edit is over within a few seconds.
	refusalsAfterLogin = 3
	refusalSpacing     = 3 * time.Second

	// targetTimeout bounds the connect to a target. A target on the local
	// network answers in milliseconds; within 10 s three lost SYNs are made up
	// for, and a client of the public port hasn't given up yet.
	targetTimeout = 10 * time.Second

	// maxDials bounds the connects to a target that are under way at once, per
	// forward, so that a target which swallows SYNs holds at most this many
	// sockets for targetTimeout. Further clients are refused at once.
	maxDials = 256

	// maxEarly bounds what a relay has taken away that the agent doesn't know to
	// have: as many as a link may have.
	maxEarly = 1024

	// maxConns bounds the connections of an agent, dialling ones included: as many
	// as our relay gives a link. A stalled one may hold 2 MiB of x/crypto's
	// channel window in memory.
	maxConns = 10000

	// maxReason bounds what is shown of a relay's reason for a refusal.
	maxReason = 300

	// MaxTCPResume bounds how long connections may be kept without a link; a relay
	// keeps them no longer.
	MaxTCPResume = time.Hour

	// outageRepeat is how often it is said that there still is no link, while the
	// reason is the same.
	outageRepeat = 5 * time.Minute

	// udpPatience is how long the UDP forwards may have no answer before the others
	// are reported without them: a dial and a login take a second or two, and what is
	// short needn't be told.
	udpPatience = 5 * time.Second

	// settled is how long a link must have lived for its end to be an outage of its
	// own: one that is cut again and again is one trouble, and told once.
	settled = 5 * time.Second

	// maxOutages is how many outages an agent remembers: those of a bad evening.
	maxOutages = 8

	// farewell bounds how long a relay may take to say that it has closed our
	// ports when we stop: more than a round trip of any path.
	farewell = time.Second

	// askAgainFirst and askAgainMost bound the wait before a refused forward is
	// asked for again. The usual reason is our own old connection, which the
	// relay believes alive until its keepalive gives up: tens of seconds.
	askAgainFirst = time.Second
	askAgainMost  = 30 * time.Second
)
