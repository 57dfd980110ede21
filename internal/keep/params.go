package keep

import "time"

// Tunables of this package, each with its reason.
const (
	// nearFirst and nearMost bound the wait while there is no line that lasts, for
	// nearFor: a relay that starts again, or a line that is back, is noticed
	// within a second, and a try costs one small packet.
	nearFirst = 250 * time.Millisecond
	nearMost  = time.Second
	nearFor   = 2 * time.Minute

	// farFirst and farMost bound it after that.
	farFirst = time.Second
	farMost  = 5 * time.Second

	// stable is how long a line must have lived for the next dial to begin at
	// once. One that is cut or dropped sooner, again and again, is dialled every
	// second at first, which costs the other end a login.
	stable = 5 * time.Second

	// hedgeAfter is how long a dial may take after it has reached the other end
	// before another one begins beside it: more than a login over any usual path,
	// which takes seven round trips.
	// maxHedge is how many there may be, and stuckAfter how long none of them may have
	// come further before one makes room for another. That is no more dials than of
	// three that each take until the 15 s are over that a login may be silent for.
	hedgeAfter = 2500 * time.Millisecond
	maxHedge   = 3
	stuckAfter = 5 * time.Second

	// longDoubt is after how long a line that is alive again is left all the same
	// for one that comes within spareWait: TCP has lost a window of segments by
	// then and repeats the first one within a second, then by slow start. A login
	// takes seven round trips.
	longDoubt = 3 * time.Second
	spareWait = time.Second
)
