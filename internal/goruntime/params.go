package goruntime

import "time"

const (
	// collectorPercent is how much may be allocated between two runs of the
	// garbage collector, in percent of what is alive, and at least as many
	// times 4 MiB / 100 (the runtime's own bound): 16 MiB, against the 3 MiB
	// that an idle program has alive. calmBelow, in bytes, is up to how much
	// alive that holds: then the two together stay below 40 MiB, and above it
	// what is alive twice over is more than that.
	collectorPercent = 400
	calmBelow        = 8 << 20

	// busyAbove is the share of its processors' time above which a program gets
	// twice as many, and idleBelow that below which it gets half: with half as
	// many it is less busy than would double them again.
	busyAbove = 0.75
	idleBelow = 0.3

	// busySpan is the least processor time that the share is taken over: many
	// times what a login takes, and soon over for those who have work.
	busySpan = 100 * time.Millisecond

	// collectedByClock is the time since the last run of the garbage collector from
	// which on it was the runtime that had this one happen: that does so two minutes
	// after the last, if nothing has been allocated that would (and this may learn
	// of a run late).
	collectedByClock = 110 * time.Second

	// worthReturning, in bytes, is worth another collection, some milliseconds.
	worthReturning = 2 << 20
)
