package netwatch

import "time"

const (
	// settleTime is how long what was seen waits for more of it: one cable
	// pulled or one VPN begun is a dozen messages of the kernel's within some
	// milliseconds. A person doesn't notice it beside the dial that follows.
	settleTime = 200 * time.Millisecond

	// tickInterval is how often the clocks are compared, and so how soon after
	// waking a sleep is noticed. It costs some ten microseconds a tick.
	tickInterval = time.Second

	// pollTicks is how many ticks lie between two looks where nobody tells of
	// changes. A look is a few system calls.
	pollTicks = 3

	// minSleep is the shortest sleep that counts: within it no peer and no NAT
	// has given a connection up, and a link that went down is seen by itself.
	minSleep = 2 * time.Second

	// lateTick is how late a tick must be to count as a sleep where no clock
	// tells of sleep. A machine that is merely busy delays a tick by less, and
	// one that was stopped for so long has as good as slept.
	lateTick = 10 * time.Second

	// maxSeen bounds what a Change says one by one: a log line is read by people,
	// and a host may have thousands of routes.
	maxSeen = 8
)
