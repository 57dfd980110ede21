package obs

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNewLogger(t *testing.T) {
	var text bytes.Buffer
	log, err := NewLogger(&text, "warn", "text")
	require.NoError(t, err)
	log.Info("not this")
	log.Warn("this", "port", 80)
	require.Contains(t, text.String(), `level=WARN msg=this port=80`)
	require.NotContains(t, text.String(), "not this")

	var lines bytes.Buffer
	log, err = NewLogger(&lines, "debug", "json")
	require.NoError(t, err)
	log.Debug("this", "port", 80)
	var record map[string]any
	require.NoError(t, json.Unmarshal(lines.Bytes(), &record))
	require.Equal(t, "this", record["msg"])
	require.EqualValues(t, 80, record["port"])

	for _, level := range []string{"info", "error"} {
		_, err = NewLogger(&text, level, "text")
		require.NoError(t, err)
	}
	_, err = NewLogger(&text, "loud", "text")
	require.EqualError(t, err, `log level "loud": want debug, info, warn or error`)
	_, err = NewLogger(&text, "info", "xml")
	require.EqualError(t, err, `log format "xml": want text or json`)
}

func TestThrottle(t *testing.T) {
	var throttle Throttle
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range throttleBurst {
		suppressed, ok := throttle.Allow(now)
		require.True(t, ok)
		require.Zero(t, suppressed)
	}
	for range 3 {
		_, ok := throttle.Allow(now.Add(throttleEvery - 1))
		require.False(t, ok)
	}
	suppressed, ok := throttle.Allow(now.Add(throttleEvery))
	require.True(t, ok)
	require.Equal(t, 3, suppressed)
	_, ok = throttle.Allow(now.Add(throttleEvery + 1))
	require.False(t, ok)

	now = now.Add(time.Hour)
	for range throttleBurst {
		_, ok = throttle.Allow(now)
		require.True(t, ok, "all of it is regained")
	}
	_, ok = throttle.Allow(now)
	require.False(t, ok)
}
