package steady

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// sleeper is what sleeps for d, by the kernel's timers: those of Go's runtime are
// late by up to a millisecond of their own. The goroutine keeps its thread until it
// is done. It must be done: a thread that ended would take those of its children
// along that want to die with their parent (prctl(2), PR_SET_PDEATHSIG).
func sleeper() (doze func(d time.Duration), done func()) {
	runtime.LockOSThread()
	return func(d time.Duration) {
		t := unix.NsecToTimespec(int64(d))
		_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &t, nil) // a signal ends it early, which is not late
	}, runtime.UnlockOSThread
}
