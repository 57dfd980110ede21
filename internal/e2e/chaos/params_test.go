//go:build linux

package chaos

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// full asks for all tries, and for the bounds that are promised.
var full = os.Getenv("FUNNEL_CHAOS") == "full"

// patience is how long a test waits for what must come. In the short form it is
// the only bound.
const patience = 60 * time.Second

// memoryPatience is how long an idle program may keep memory it has no use for:
// the runtime's clock asks for a collection every two minutes.
const memoryPatience = 5 * time.Minute

// sized is a number of tries, a size or a time in the form that runs.
func sized[T any](short, long T) T {
	if full {
		return long
	}
	return short
}

// chaosLogs is a directory for what the programs write, also of those that were
// killed and of tests that pass; empty for none.
var chaosLogs = os.Getenv("FUNNEL_CHAOS_LOGS")

// chaosTime is how long random faults last.
func chaosTime(t testing.TB) time.Duration {
	text := os.Getenv("FUNNEL_CHAOS_TIME")
	if text == "" {
		return sized(10*time.Second, 15*time.Minute)
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, "FUNNEL_CHAOS_TIME")
	return d
}

// chaosSeed chooses the random faults: always the same ones in the short form,
// others each time in the full one.
func chaosSeed(t testing.TB) uint64 {
	text := os.Getenv("FUNNEL_CHAOS_SEED")
	if text == "" {
		return sized(1, uint64(time.Now().UnixNano()))
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "FUNNEL_CHAOS_SEED")
	return seed
}
