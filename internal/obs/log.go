package obs

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLogger returns a logger that writes to w from a level on ("debug", "info",
// "warn" or "error"), a line for each record: format "text" is
// slog.TextHandler's, "json" slog.JSONHandler's. When the wall clock was set, the
// log says so before the first record by the new time.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	switch level {
	case "debug":
		least = slog.LevelDebug
	case "info":
		least = slog.LevelInfo
	case "warn":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	options := &slog.HandlerOptions{Level: least}
	switch format {
	case "text":
		return slog.New(newClocked(slog.NewTextHandler(w, options))), nil
	case "json":
		return slog.New(newClocked(slog.NewJSONHandler(w, options))), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}
