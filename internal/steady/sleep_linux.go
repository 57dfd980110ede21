package steady

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper is what sleeps for d, by the kernel's timers: those of Go's runtime are
// late by up to a millisecond of their own. The goroutine keeps its thread.
func sleeper() func(d time.Duration) {
	runtime.LockOSThread() // until the goroutine ends
	return func(d time.Duration) {
		t := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // a signal ends it early, which is not late
	}
}
