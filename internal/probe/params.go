package probe

import "time"

const (
	// MinSize is the least size of a message: its header.
	MinSize = headerSize
	// MaxSize is the largest, what one UDP datagram over IPv4 can hold.
	MaxSize = 65507

	// spin is how long before its time a sender stops sleeping and watches the
	// clock. Sleeping ends 5 to 60 µs late on an idle virtual machine; 80 µs, 60
	// times a second, cost half a percent of a core.
	spin = 80 * time.Microsecond
	// spinShare is the largest share of the time between two messages that is
	// spent on the clock, so that a fast sender doesn't take the core that the
	// system under test needs.
	spinShare = 0.05

	// knockInterval is how often Reach asks. A tunnel that sets up its flow with
	// the first datagram may lose it.
	knockInterval = 100 * time.Millisecond

	// rateStall is how long a rate test waits for a reply before it takes all in
	// flight for lost. Above any round trip that a loaded loopback has.
	rateStall = 200 * time.Millisecond

	// bulkChunk is how much a transfer hands to the kernel at once.
	bulkChunk = 128 << 10
	// bulkReport is how often a sink tells how much it has got.
	bulkReport = 50 * time.Millisecond

	// socketBuffer is asked for on the sockets of an echo and of a rate test, so
	// that a burst isn't lost before it is read; 4 MiB is what the kernel counts
	// for about 5,000 small datagrams.
	socketBuffer = 4 << 20
)
