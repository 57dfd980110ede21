package mux

// Tunables of this package, each with its reason.
const (
	// MaxFrame is the most record bytes in one frame. With smux's header
	// and SSH's own it stays within one SSH packet of x/crypto/ssh (32 KiB
	// of payload), so that a frame costs one encryption and one system call.
	MaxFrame = 32<<10 - frameHeader

	// recordWindow is how far a peer's records may run ahead of our reading.
	// It stays below the 2 MiB window that x/crypto/ssh gives a channel: a
	// peer that minds this window never blocks inside the SSH library, where
	// it could no longer choose what to drop.
	recordWindow = 1536 << 10

	// windowStep is how much is read between two window updates: often
	// enough for a peer that still has smux's small initial window, seldom
	// enough to cost nothing.
	windowStep = 64 << 10

	// initialWindow is what smux assumes of its peer until told (its
	// initialPeerWindow); SPEC.md fixes it.
	initialWindow = 256 << 10

	// maxStreams bounds the streams a peer may open on a lane. Two are in
	// use; the rest is for versions to come.
	maxStreams = 8

	// controlWindow is the flow control window of a control stream, far
	// more than any exchange of small messages needs.
	controlWindow = 64 << 10

	// readBuffer holds two of SSH's packets, so that small frames that came
	// together are taken from the channel together.
	readBuffer = 64 << 10
)
