package obs

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestLogTellsOfClock sets the clock forward and back, as seen from the log: by
// moving the time that it compares with.
func TestLogTellsOfClock(t *testing.T) {
	var text strings.Builder
	log, err := NewLogger(&text, "info", "text")
	require.NoError(t, err)
	wall := log.Handler().(clocked).wall
	said := func(log *slog.Logger) string {
		text.Reset()
		log.Info("this")
		lines := strings.Split(text.String(), "\n")
		require.Contains(t, lines[len(lines)-2], "msg=this")
		return strings.Join(lines[:len(lines)-2], "\n")
	}
	require.Empty(t, said(log))

	wall.wall = wall.wall.Add(-time.Hour)
	require.Regexp(t, `^time=\S+ level=INFO msg="the clock was set, or the machine slept" step=1h0m0s$`, said(log))
	require.Empty(t, said(log), "once")
	wall.wall = wall.wall.Add(400 * 24 * time.Hour)
	require.Regexp(t, `step=-9600h0m0s$`, said(log.With("port", 80).WithGroup("of")), "without their fields")
	require.Empty(t, said(log), "once for all loggers")

	wall.wall = wall.wall.Add(-noteworthyStep / 2)
	require.Empty(t, said(log), "too little")
	wall.wall = wall.wall.Add(-noteworthyStep)
	require.Regexp(t, `step=3s$`, said(log), "little by little")

	quiet, err := NewLogger(&text, "warn", "json")
	require.NoError(t, err)
	wall = quiet.Handler().(clocked).wall
	wall.wall = wall.wall.Add(time.Hour)
	text.Reset()
	quiet.Warn("this")
	require.NotContains(t, text.String(), "clock")
}

// TestOldRecordIsNoStep has a record arrive that was made before the clock was
// set, and behind one that was made after.
func TestOldRecordIsNoStep(t *testing.T) {
	begun := time.Now()
	wall := &wallClock{begun: begun, wall: begun.Round(0).Add(-time.Hour)}
	require.Equal(t, time.Hour, wall.step(begun.Add(time.Minute)))
	wall.wall = begun.Round(0) // as it was for a record of before
	require.Zero(t, wall.step(begun.Add(time.Minute-time.Second)))
	require.Equal(t, -time.Hour, wall.step(begun.Add(time.Minute)))
	require.Zero(t, wall.step(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), "a time of no clock")
}
