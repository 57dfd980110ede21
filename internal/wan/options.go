package wan

// Options of a world.
type Options struct {
	// Seed makes the loss, the jitter and the outages the same in each run, as
	// far as the packets come at the same times. Every link and direction draws
	// from a sequence of its own.
	Seed uint64
}
