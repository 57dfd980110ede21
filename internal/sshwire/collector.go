package sshwire

import (
	"os"
	"runtime/debug"
)

// CalmCollector makes the garbage collector run less often, unless the user has
// set it by GOGC. x/crypto/ssh allocates each packet anew: at full speed the
// collector would take up to a fifth of the throughput, to keep a few megabytes.
func CalmCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectorPercent)
	}
}
