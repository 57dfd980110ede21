package goruntime

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// returnMemory gives the system back what the heap has no use for, once a run of
// the garbage collector comes only span after the last: the program is idle. By
// itself the runtime does so a run later, minutes, and keeps a tenth of the heap.
// Stop ends that.
func returnMemory(span time.Duration) (stop func()) {
	last := time.Now()
	return afterEachCollection(func() {
		idle := time.Since(last)
		last = last.Add(idle)
		if idle >= span && unused() >= worthReturning {
			debug.FreeOSMemory()
		}
	})
}

// unused is how many bytes of the heap are resident and hold nothing.
func unused() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(samples)
	var sum uint64
	for _, s := range samples {
		if s.Value.Kind() == metrics.KindUint64 {
			sum += s.Value.Uint64()
		}
	}
	return sum
}
