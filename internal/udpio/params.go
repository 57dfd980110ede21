package udpio

const (
	// MaxDatagram is the longest payload of a UDP datagram over IPv4, in bytes:
	// 65,535 less the IP header (20) and the UDP header (8).
	MaxDatagram = 65507

	// BatchSize is the most datagrams that one call of [Conn.Receive] hands
	// over. Beyond 32 the cost of the system call itself is lost in that of the
	// datagrams, while the buffers outgrow the processor's caches.
	BatchSize = 32

	// DefaultBuffer is the size in bytes asked of the kernel for a socket's
	// receive and send queues when Options leaves them zero: at 100,000 small
	// datagrams a second, each charged about 1 KiB by the kernel, it covers
	// 40 ms during which the reader gets no processor.
	DefaultBuffer = 4 << 20

	// slotSize is the distance between two receive buffers of a batch, in bytes.
	// A buffer takes 65,535 bytes; the rest keeps buffers from starting a power
	// of two apart, which would put all their first lines in one cache set.
	slotSize = 65536 + 2048 + 64

	// leastBatches is how many receive buffers may be in use at once, or as many
	// as there are processors if that is more: each has 2 MiB of address space, of
	// which the pages ever written to take memory. Handlers are brief, so that more
	// than there are processors wait for each other only.
	leastBatches = 16

	// keptBatches is how many receive buffers are kept forever: one for each of two
	// processors, as more are seldom in use at once.
	keptBatches = 2

	// maxPending is how many datagrams a Sender collects before it sends them by
	// itself: more than a 32 KiB buffer of 64-byte records holds.
	maxPending = 512
)
