package resume

import (
	"sync"
	"time"
)

// timer calls run once, some time after start. Its methods are called with mu
// held, and so is run, by a goroutine that group counts.
type timer struct {
	mu      *sync.Mutex
	group   *sync.WaitGroup
	run     func()
	pending *time.Timer // nil if run isn't to be called
}

// start does nothing if the timer is running already.
func (t *timer) start(d time.Duration) {
	if t.pending != nil {
		return
	}
	t.group.Add(1)
	var own *time.Timer
	own = time.AfterFunc(d, func() {
		defer t.group.Done()
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.pending != own { // stopped in the last moment
			return
		}
		t.pending = nil
		t.run()
	})
	t.pending = own
}

func (t *timer) stop() {
	if t.pending != nil && t.pending.Stop() {
		t.group.Done()
	}
	t.pending = nil
}
