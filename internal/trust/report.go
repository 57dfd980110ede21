package trust

import (
	"context"
	"errors"
	"log/slog"
)

// report tells of lines that cannot be read, each once. It is called with v.mu
// held, as is warnOnce.
func (v *Verifier) report(problems []problem) {
	for _, p := range problems {
		level := slog.LevelWarn
		if errors.Is(p.err, errUnsupported) {
			level = slog.LevelDebug // nothing to mend: the line is right
		}
		v.warnOnce(level, p.String()+p.err.Error(), "known_hosts line skipped", "line", p.String(), "error", p.err)
	}
}

func (v *Verifier) warnOnce(level slog.Level, identity, message string, attributes ...any) {
	if v.warned[identity] {
		return
	}
	v.warned[identity] = true
	v.log.Log(context.Background(), level, message, attributes...)
}
