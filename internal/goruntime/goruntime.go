// Package goruntime sets Go's runtime for programs that forward: busy for some
// microseconds thousands of times a second, idle in between, and seldom with much
// memory alive. The runtime's defaults are for programs that have long work to do
// in parallel.
package goruntime

import "runtime"

// Calm sets the runtime. It is to be called first in main: on Linux it may start
// the program again, in the same process (see widenSlack). What the user has set
// by GOGC or GOMAXPROCS stays.
func Calm() {
	widenSlack()
	calmCollector()
	calmProcessors()
}

// afterEachCollection calls f after each run of the garbage collector, in a
// goroutine of the runtime's and one call at a time: a clock that stands still
// while the program does.
func afterEachCollection(f func()) {
	type garbage [64]byte // large enough to be collected by itself
	runtime.AddCleanup(new(garbage), func(f func()) {
		f()
		afterEachCollection(f)
	}, f)
}
