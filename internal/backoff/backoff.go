// Package backoff says how long to wait before the next try.
package backoff

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Config tunes a Backoff. A zero field stands for its default.
type Config struct {
	Base   time.Duration // the first wait that isn't zero, before jitter
	Max    time.Duration // no wait is longer
	Stable time.Duration // a link that lived this long makes the next wait zero again
}

// Backoff is a sequence of waits: none before the first retry, then waits that
// double from Base to Max. Each is drawn from the upper half of its value:
// agents that lost the same relay come back spread out, and yet none comes back
// at once over and over. Not safe for concurrent use.
type Backoff struct {
	config Config
	ceil   time.Duration             // the next wait before jitter
	random func(int64) (below int64) // a number from 0 to below its argument
}

// New returns a Backoff whose first wait is zero.
func New(config Config) *Backoff {
	config.Base = cmp.Or(max(config.Base, 0), DefaultBase)
	config.Max = cmp.Or(max(config.Max, 0), DefaultMax)
	config.Stable = cmp.Or(max(config.Stable, 0), DefaultStable)
	return &Backoff{config: config, random: rand.Int64N}
}

// Next is how long to wait before the next try, from 0 to Max. Each call moves
// on to a longer wait.
func (b *Backoff) Next() time.Duration {
	ceil := b.ceil
	if ceil == 0 {
		b.ceil = min(b.config.Base, b.config.Max)
		return 0
	}
	b.ceil = b.config.Max
	if ceil < b.config.Max/2 {
		b.ceil = 2 * ceil
	}
	half := ceil / 2
	return half + time.Duration(b.random(int64(ceil-half)+1))
}

// Succeeded tells that a link was up for lived and has ended. If it lived less
// than Stable the waits go on growing: a relay that accepts links only to drop
// them is not to be hammered.
func (b *Backoff) Succeeded(lived time.Duration) {
	if lived >= b.config.Stable {
		b.ceil = 0
	}
}

// Wait sleeps for Next. It returns early, with the context's error, only if
// ctx ends.
func (b *Backoff) Wait(ctx context.Context) error {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return ctx.Err()
	}
}
