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

const (
	// mtu of a link: Ethernet's, as on most lines.
	mtu = 1500

	// maxInFlight bounds the packets on their way in one direction, and with
	// them the emulator's memory: 32,768 full packets are 48 MiB, a gigabit/s for
	// 0.4 s. Beyond it packets count as lost in the queue.
	maxInFlight = 1 << 15

	// batch is how many packets are read from one device before the other and
	// what is due get their turn: at 1 to 2 µs each, well below what is promised.
	batch = 32

	// txQueueLen of the devices. It is empty as long as the emulator's thread
	// runs, and must hold what kernels send while it doesn't: 20 ms of a
	// gigabit/s.
	txQueueLen = 2048

	// maxConnections is how many connections are remembered after Forget, as
	// many as a home router holds; further ones are refused.
	maxConnections = 1 << 16
)
