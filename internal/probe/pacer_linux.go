package probe

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// lockThread gives the goroutine a thread of its own whose sleeps end on time:
// the kernel may stretch them by the timer slack, 50 µs by default (prctl(2),
// PR_SET_TIMERSLACK).
func lockThread() {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // without it we spin a little longer
}

func unlockThread() {
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0) // back to the default
	runtime.UnlockOSThread()
}

// sleep may end early by a signal, which Go sends to its own threads.
func sleep(d time.Duration) {
	request := unix.NsecToTimespec(int64(d))
	_ = unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &request, nil)
}
