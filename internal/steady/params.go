package steady

import "time"

const (
	// sleep is how long each is: often enough to see a stall of some
	// milliseconds, and seldom enough to be none.
	sleep = 2 * time.Millisecond

	// mostOften is what nine of ten sleeps may be late by. Linux adds 50 µs to
	// each by default (PR_SET_TIMERSLACK), and waking takes as long again. Who
	// has to share a processor waits for up to a scheduler's slice, some 3 ms.
	mostOften = 300 * time.Microsecond

	// mostEver is what any may be late by: a stall that is longer makes more than
	// a hundredth of what is sent for a second late.
	mostEver = 5 * time.Millisecond

	// pause between two runs is for what disturbed the one before to be over.
	pause = 200 * time.Millisecond
)
