package sshwire

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// CalmCollector makes the garbage collector run less often while little is
// alive, unless the user has set it by GOGC. x/crypto/ssh allocates each packet
// anew: at full speed the collector would take up to a fifth of the throughput,
// to keep a few megabytes. The more is alive the less that matters, and the more
// memory it would take: then the collector is left as Go has it.
func CalmCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
		afterCollection(collectorPercent)
	}
}

// afterCollection has the collector adjusted after its next run, and after each
// one from then on.
func afterCollection(percent int) {
	type garbage [64]byte // large enough to be collected by itself
	runtime.AddCleanup(new(garbage), func(percent int) {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		wanted := percent
		if live[0].Value.Kind() == metrics.KindUint64 {
			wanted = percentFor(live[0].Value.Uint64())
		}
		if wanted != percent {
			debug.SetGCPercent(wanted) // which stops the program for some microseconds
		}
		afterCollection(wanted)
	}, percent)
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
