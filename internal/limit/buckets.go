package limit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// Buckets are a token bucket for each source, in a memory that is the same
// however many there are: sources whose hashes meet share one. The hash is
// secret, so nobody can choose with whom he shares. Safe for concurrent use.
type Buckets struct {
	rate  float64 // tokens a second, of each
	burst float64
	seed  maphash.Seed
	epoch time.Time

	mu    sync.Mutex
	slots []slot // guarded by mu; the length is fixed
}

// slot is one bucket, described by when it was last looked at.
type slot struct {
	missing float64       // tokens below the burst, so that the zero slot is full
	at      time.Duration // since the epoch
}

// NewBuckets returns buckets for so many sources at a time, at least one. Each
// gets rate tokens a second and holds up to burst. A rate of 0 bounds nothing.
func NewBuckets(sources int, rate, burst float64) *Buckets {
	return &Buckets{rate: rate, burst: burst, seed: maphash.MakeSeed(), epoch: time.Now(), slots: make([]slot, max(sources, 1))}
}

// Take takes a token of a source; false if it has none. A nil Buckets has
// always one.
func (b *Buckets) Take(source netip.Prefix, now time.Time) bool {
	if b == nil || b.rate == 0 {
		return true
	}
	index := maphash.Comparable(b.seed, source) % uint64(len(b.slots))
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.slots[index]
	since := now.Sub(b.epoch)
	missing := max(0, s.missing-b.rate*max(0, (since-s.at).Seconds()))
	ok := missing+1 <= b.burst
	if ok {
		missing++
	}
	s.missing, s.at = missing, max(since, s.at)
	return ok
}
