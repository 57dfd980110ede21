package relay

import "time"

// Tunables of this package, each with its reason.
const (
	// handshakeTimeout bounds the time from a connection to an authenticated
	// link. It takes a few round trips and, at the client, maybe a passphrase:
	// clients ask for that before they connect or have it in an agent.
	handshakeTimeout = 15 * time.Second

	// maxStartups bounds connections that aren't authenticated yet, each of
	// which costs some 100 KiB, so that strangers can't take the memory; and
	// maxStartupsPerSource those of one address (IPv6: one /64), so that one
	// stranger can't keep everybody else out. A home with several agents, each
	// with several lanes, may come back all at once.
	maxStartups          = 256
	maxStartupsPerSource = 32

	// maxLinksPerKey bounds what one key, perhaps a stolen one, costs. It is
	// more agents, with several lanes each, than anyone runs with one key.
	maxLinksPerKey = 512

	// maxBindings bounds the forwarded ports of a link: each costs a
	// descriptor and a goroutine. Games' ranges are tens of ports wide.
	maxBindings = 1024

	// maxConns bounds the conns of a link, those to be opened included. An idle
	// one costs some 20 KiB; one whose client doesn't read may hold the 2 MiB
	// of a channel's window besides, which x/crypto/ssh has fixed.
	maxConns = 4096

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
