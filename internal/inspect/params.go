package inspect

import "time"

const (
	// tellTime bounds how long one who asks may take to read the answer, and ask
	// how long a program may take to give one: both are on this machine.
	tellTime = 2 * time.Second
	askTime  = 5 * time.Second

	// maxAnswer bounds an answer, in bytes: a thousand forwards take a quarter of
	// a MiB.
	maxAnswer = 8 << 20

	// acceptPause is the wait after an Accept that failed, mostly for want of
	// descriptors.
	acceptPause = time.Second

	// maxTwins bounds the programs of one number in one directory, as those of
	// several containers may be.
	maxTwins = 16
)
