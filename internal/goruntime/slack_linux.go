package goruntime

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	slack = time.Millisecond
	usual = 50 * time.Microsecond

	// marker is in the environment of a program that was started again, so that
	// it isn't once more, whatever the kernel says.
	marker = "FUNNEL_STARTED_AGAIN"
)

// widenSlack gives the program a timer slack of a millisecond, if it has Linux's
// default.
//
// As soon as anything runs, the runtime's thread sysmon wakes every 20 µs, and
// gives the processor of a goroutine that has been in the kernel for that long to
// another thread. The programs are in the kernel for that long with each datagram.
// Linux lets a thread oversleep by its timer slack (PR_SET_TIMERSLACK, prctl(2));
// with a millisecond sysmon stays out of the way of what is over by then. With 64
// players that takes a fifth of the processor time away, and a round trip over
// loopback takes a fifth less. The program's own timers are later by as much at
// most, which is what the runtime rounds them to anyway.
//
// Only a thread itself can change its slack, sysmon runs before main, and a program
// begins with the slack of the thread that starts it: so it is started again, in
// the same process. Where that can't be done everything stays as it was.
func widenSlack() {
	if os.Getenv(marker) != "" {
		_ = os.Unsetenv(marker)
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if current() != usual { // somebody has chosen, or it runs in real time
		return
	}
	if err := set(slack); err != nil || current() != slack {
		return
	}
	if program, err := os.Executable(); err == nil {
		_ = syscall.Exec(program, os.Args, append(os.Environ(), marker+"=1")) // #nosec G204 G702 -- this program, as it was started
	}
	_ = set(usual)
}

func current() time.Duration {
	nanoseconds, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil {
		return 0
	}
	return time.Duration(nanoseconds)
}

func set(d time.Duration) error {
	return unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(d), 0, 0, 0) // #nosec G115 -- above 0
}
