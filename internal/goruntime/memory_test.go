package goruntime

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMemoryIsReturnedByTheIdle(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	// A tenth of that the runtime keeps unused by itself.
	alive := written(64 << 20)
	defer runtime.KeepAlive(alive)
	const kept = 4 << 20

	defer returnMemory(time.Hour)()
	for range 3 {
		written(64 << 20)
		runtime.GC()
		require.Greater(t, unused(), uint64(kept), "the busy keep it")
	}
	written(64 << 20)
	defer returnMemory(0)()
	require.Eventually(t, func() bool {
		runtime.GC()
		return unused() < worthReturning
	}, 20*time.Second, 5*time.Millisecond)
}

// written returns memory whose pages are in use.
func written(size int) []byte {
	memory := make([]byte, size)
	for i := 0; i < size; i += 4096 {
		memory[i] = 1
	}
	return memory
}
