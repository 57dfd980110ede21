package goruntime

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
)

// calmCollector makes the garbage collector run less often while little is
// alive. x/crypto/ssh allocates each packet anew: at full speed the collector
// would take up to a fifth of the throughput, to keep a few megabytes. The more is
// alive the less that matters, and the more memory it would take: then the
// collector is left as Go has it.
func calmCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	percent := collectorPercent
	debug.SetGCPercent(percent)
	afterEachCollection(func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		if live[0].Value.Kind() != metrics.KindUint64 {
			return
		}
		if wanted := percentFor(live[0].Value.Uint64()); wanted != percent {
			percent = wanted
			debug.SetGCPercent(percent) // which stops the program for some microseconds
		}
	})
}

// percentFor is how much may be allocated until the next run of the collector,
// in percent of what is alive.
func percentFor(live uint64) int {
	switch {
	case live < calmBelow:
		return collectorPercent
	case live < 2*calmBelow:
		return collectorPercent / 2
	}
	return 100
}
