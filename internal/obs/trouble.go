package obs

import (
	"sync"
	"sync/atomic"
	"time"
)

// troubleOver is how long something must not have failed for its trouble to be
// over: what fails every other time is one trouble. troubleAgain is how often a
// trouble that lasts is told.
const (
	troubleOver  = 5 * time.Second
	troubleAgain = 5 * time.Minute
)

// Trouble is something that may fail many times a second, such as to get a
// descriptor, and is worth one record when that begins and one when it is over.
// The zero Trouble is ready; its methods may be called at the same time.
type Trouble struct {
	failing atomic.Bool

	mu    sync.Mutex
	began time.Time // guarded by mu, as all below
	last  time.Time // that it failed
	told  time.Time
	count int // of failures since it was told
}

// Failed notes a failure, and says whether to log it, and how many there were
// since the last that was logged.
func (t *Trouble) Failed(now time.Time) (unsaid int, tell bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.failing.Load() {
		t.failing.Store(true)
		t.began, t.told, t.count = now, time.Time{}, 0
	}
	t.last = now
	if !t.told.IsZero() && now.Sub(t.told) < troubleAgain {
		t.count++
		return 0, false
	}
	unsaid, t.told, t.count = t.count, now, 0
	return unsaid, true
}

// Lasts reports whether it failed and hasn't been told to be over.
func (t *Trouble) Lasts() bool { return t.failing.Load() }

// Worked notes that it went well, and says whether to log that the trouble is over,
// and how long it lasted.
func (t *Trouble) Worked(now time.Time) (lasted time.Duration, tell bool) {
	if !t.failing.Load() {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.failing.Load() || now.Sub(t.last) < troubleOver {
		return 0, false
	}
	t.failing.Store(false)
	return t.last.Sub(t.began), true
}
