package keep

import (
	"time"

	"funnel/internal/backoff"
)

// waits says how long to wait before the next dial. Whoever isn't reached isn't
// bothered by who tries, and so is tried often; whoever is reached and says no, or
// breaks off, is left alone for longer and longer.
type waits struct {
	unreached func(error) bool
	refused   *backoff.Backoff
	near, far *backoff.Backoff // unreached for a short and for a long time
	since     time.Time        // unreached; zero if it was reached last
}

func newWaits(unreached func(error) bool) *waits {
	w := &waits{unreached: unreached, refused: backoff.New(backoff.Config{Stable: stable})}
	w.reset()
	return w
}

func (w *waits) reset() {
	w.near = backoff.New(backoff.Config{Base: nearFirst, Max: nearMost})
	w.far = backoff.New(backoff.Config{Base: farFirst, Max: farMost})
	w.since = time.Time{}
}

// next is how long to wait after err.
func (w *waits) next(err error) time.Duration {
	if !w.unreached(err) {
		w.reset()
		return w.refused.Next()
	}
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	if now.Sub(w.since) < nearFor {
		return w.near.Next()
	}
	return w.far.Next()
}

// succeeded tells that a line lived for so long.
func (w *waits) succeeded(lived time.Duration) {
	w.reset()
	w.refused.Succeeded(lived)
}
