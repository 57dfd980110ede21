package goruntime

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCollectorTakesLessTheMoreIsAlive(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	percent := func() int {
		now := debug.SetGCPercent(100)
		debug.SetGCPercent(now)
		return now
	}
	calmCollector()
	require.Equal(t, collectorPercent, percent())
	alive := make([]byte, 4*calmBelow)
	collected := func(want int) func() bool {
		return func() bool {
			runtime.GC()
			return percent() == want
		}
	}
	require.Eventually(t, collected(100), 20*time.Second, 5*time.Millisecond)
	runtime.KeepAlive(alive)
	require.Eventually(t, collected(collectorPercent), 20*time.Second, 5*time.Millisecond)
}
