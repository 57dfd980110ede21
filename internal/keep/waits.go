package keep

import (
	"time"

	"funnel/internal/backoff"
)

// waits says how long to wait before the next dial. Whoever isn't reached isn't
// bothered by who tries, and so is tried often, and so is who has let us in before
// the line broke; whoever says no is left alone for longer and longer.
type waits struct {
	unreached func(error) bool
	unwanted  func(error) bool
	refused   *backoff.Backoff
	near, far *backoff.Backoff // without a line for a short and for a long time
	since     time.Time        // there is none that lasts; zero if it is a no that keeps us waiting
}

func newWaits(unreached, unwanted func(error) bool) *waits {
	w := &waits{unreached: unreached, unwanted: unwanted, refused: backoff.New(backoff.Config{})}
	w.reset()
	return w
}

func (w *waits) reset() {
	w.near = backoff.New(backoff.Config{Base: nearFirst, Max: nearMost})
	w.far = backoff.New(backoff.Config{Base: farFirst, Max: farMost})
	w.since = time.Time{}
}

// failed is how long to wait after a dial that err ended.
func (w *waits) failed(err error) time.Duration {
	if !w.unreached(err) {
		return w.refusal()
	}
	return w.loss()
}

// ended is how long to wait after a line that err ended.
func (w *waits) ended(err error) time.Duration {
	if w.unwanted != nil && w.unwanted(err) {
		return w.refusal()
	}
	return w.loss()
}

// refusal is how long to wait after a no.
func (w *waits) refusal() time.Duration {
	w.reset()
	return w.refused.Next()
}

// loss is how long to wait after a line that broke, or a dial that reached nobody.
func (w *waits) loss() time.Duration {
	now := time.Now()
	if w.since.IsZero() {
		w.since = now
	}
	if now.Sub(w.since) < nearFor {
		return w.near.Next()
	}
	return w.far.Next()
}

// lived tells that a line was there for so long.
func (w *waits) lived(lived time.Duration) {
	w.refused.Succeeded(lived)
	if lived >= stable {
		w.reset()
	}
}
