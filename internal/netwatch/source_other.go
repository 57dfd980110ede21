//go:build !linux

package netwatch

import "log/slog"

// openSource returns what tells most on this system.
func openSource(log *slog.Logger) source { return openPoll(log) }
