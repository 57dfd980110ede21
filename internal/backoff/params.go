package backoff

import "time"

// What a zero field of Config stands for.
const (
	// DefaultBase is the second wait before jitter. A relay that restarts is
	// back within a second or two, so the first few tries fall into that.
	DefaultBase = 500 * time.Millisecond

	// DefaultMax bounds a wait: how long, at worst, a server stays unreachable
	// after its relay is back.
	DefaultMax = 30 * time.Second

	// DefaultStable is how long a link must have lived to count as good. It
	// must exceed the time in which a link that was dead from the start is
	// found dead (three keepalives of 5 s), or such links would be remade
	// without pause. As it equals DefaultMax, a relay that accepts and drops
	// is never asked more often than a relay that is away.
	DefaultStable = 30 * time.Second
)
