package obs

import (
	"log/slog"
	"sync"
	"time"
)

// Throttle keeps what strangers cause from filling the log: it allows a few
// records at once, then one in a while, and counts the others. The zero
// Throttle is ready; its methods may be called at the same time.
type Throttle struct {
	mu         sync.Mutex
	spent      int       // of the burst
	since      time.Time // when spent was right
	suppressed int
}

const (
	throttleBurst = 10              // records at once: enough to see a pattern
	throttleEvery = 5 * time.Second // one more: some 20,000 lines a day at most
)

// Allow says whether to log a record now, and how many were held back since
// the last one that was allowed.
func (t *Throttle) Allow(now time.Time) (suppressed int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if regained := int(now.Sub(t.since) / throttleEvery); t.spent == 0 || regained >= t.spent {
		t.spent, t.since = 0, now
	} else if regained > 0 {
		t.spent -= regained
		t.since = t.since.Add(time.Duration(regained) * throttleEvery)
	}
	if t.spent >= throttleBurst {
		t.suppressed++
		return 0, false
	}
	t.spent++
	suppressed, t.suppressed = t.suppressed, 0
	return suppressed, true
}

// Info logs a record at level info if Allow says so, with held_back for those
// that were held back before it.
func (t *Throttle) Info(log *slog.Logger, message string, arguments ...any) {
	held, ok := t.Allow(time.Now())
	if !ok {
		return
	}
	if held > 0 {
		arguments = append(arguments, "held_back", held)
	}
	log.Info(message, arguments...)
}
