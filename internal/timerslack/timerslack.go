// Package timerslack keeps Go's runtime from looking after the program more often
// than it pays.
//
// As soon as anything runs, the runtime's thread sysmon wakes every 20 µs, and
// gives the processor of a goroutine that has been in the kernel for that long to
// another thread. A program that forwards datagrams goes from idle to busy and
// back thousands of times a second, and is in the kernel for that long with each
// of them. Linux lets a thread oversleep by its timer slack, which is 50 µs by
// default (PR_SET_TIMERSLACK, prctl(2)); with a millisecond sysmon stays out of
// the way of what is over by then. With 64 players that takes a fifth of the
// processor time away, and a round trip over loopback takes a fifth less.
//
// It makes the program's own timers up to a millisecond later, which is what
// Go's network poller rounds them to anyway.
package timerslack

// Widen gives the program a timer slack of a millisecond, if it has Linux's
// default. Only a thread itself can change its slack, sysmon runs before main,
// and a program begins with the slack of the thread that starts it: so Widen
// starts the program again, in the same process. It is to be called first in
// main. Where it can't be done everything stays as it was.
func Widen() { widen() }
