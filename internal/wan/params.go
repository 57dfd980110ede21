package wan

import "time"

const (
	// DefaultQueue is the drop-tail queue of a link with a rate if none is
	// given: what a home router of today holds when it is neither bloated nor
	// managed.
	DefaultQueue = 100 * time.Millisecond

	// maxDelay bounds all times of a link; beyond it nothing on Earth works.
	maxDelay = 10 * time.Second

	// minOutage is the shortest mean outage: below, most would fall between
	// two packets, which is what Loss is for.
	minOutage = time.Millisecond

	// minRate is the least a link carries: a packet of 1,500 bytes then takes
	// 1.5 s, and the arithmetic in nanoseconds is still exact.
	minRate = 8000
)
