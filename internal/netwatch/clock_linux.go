package netwatch

import (
	"time"

	"golang.org/x/sys/unix"
)

// newSleepClock returns the difference of CLOCK_BOOTTIME and CLOCK_MONOTONIC,
// which is by definition the time that the machine was suspended
// (clock_gettime(2)). Nobody can set either, so that a changed wall clock is no
// sleep, and neither is a process that was stopped.
func newSleepClock() sleepClock {
	return func() time.Duration {
		// In this order: a pause between the two makes the difference smaller,
		// never larger.
		boot := readClock(unix.CLOCK_BOOTTIME)
		return boot - readClock(unix.CLOCK_MONOTONIC)
	}
}

// readClock can't fail: both clocks are there since Linux 2.6.39.
func readClock(id int32) time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(id, &t)
	return time.Duration(t.Nano())
}
