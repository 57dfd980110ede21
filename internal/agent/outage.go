package agent

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// outage says when there is no link to the relay and why, and not again for each
// of the many tries until there is one, unless the reason changes. Safe for
// concurrent use.
type outage struct {
	log *slog.Logger

	mu     sync.Mutex
	reason string    // as last said; guarded by mu, as said
	said   time.Time // when
}

func (o *outage) lost(err error, retry time.Duration) {
	o.mu.Lock()
	again := err.Error() == o.reason && time.Since(o.said) < outageRepeat
	if !again {
		o.reason, o.said = err.Error(), time.Now()
	}
	o.mu.Unlock()
	level := slog.LevelWarn
	if again {
		level = slog.LevelDebug
	}
	o.log.Log(context.Background(), level, "no link to the relay", "error", err, "retry_in", retry.Round(time.Millisecond))
}

// over notes that there is a link.
func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reason = ""
}
