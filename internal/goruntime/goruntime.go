// Package goruntime sets Go's runtime for programs that forward: busy for some
// microseconds thousands of times a second, idle in between, and seldom with much
// memory alive. The runtime's defaults are for programs that have long work to do
// in parallel.
package goruntime

import (
	"runtime"
	"sync/atomic"
)

// Calm sets the runtime. It is to be called first in main: on Linux it may start
// the program again, in the same process (see widenSlack). What the user has set
// by GOGC or GOMAXPROCS stays.
func Calm() {
	widenSlack()
	calmCollector()
	calmProcessors()
	returnMemory(collectedByClock)
}

// afterEachCollection calls f after each run of the garbage collector, in a
// goroutine of the runtime's and one call at a time: a clock that stands still
// while the program does. After stop no further call begins.
func afterEachCollection(f func()) (stop func()) {
	type garbage [64]byte // large enough to be collected by itself
	var stopped atomic.Bool
	var next func(struct{})
	next = func(struct{}) {
		if stopped.Load() {
			return
		}
		f()
		runtime.AddCleanup(new(garbage), next, struct{}{})
	}
	runtime.AddCleanup(new(garbage), next, struct{}{})
	return func() { stopped.Store(true) }
}
