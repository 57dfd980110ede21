// Package steady makes measurements on a machine that others use, too. It is for
// tests: one that asserts a time is right or wrong only as far as the machine ran
// what was to run, and when.
package steady

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrBusy says that the machine never kept up for as long as a measurement took.
var ErrBusy = errors.New("the machine is too busy to be measured on")

// Measure runs f until it returns "", which says that what it saw was right, and
// then returns nil. It returns an error with f's last word after tries runs that
// were wrong while the machine kept up. Those while it didn't prove nothing; when
// patience is over and there were some, the error is ErrBusy, with f's last word.
// log is told of each run that was wrong.
func Measure(tries int, patience time.Duration, log func(...any), f func() string) error {
	return measure(tries, patience, log, f, Watch)
}

func measure(tries int, patience time.Duration, log func(...any), f func() string, watch func() func() Lateness) error {
	counted, busy := 0, false
	for begun := time.Now(); ; time.Sleep(pause) {
		end := watch()
		wrong := f()
		late := end()
		if wrong == "" {
			return nil
		}
		log("again:", wrong, "while this machine was", late)
		if late.Kept() {
			counted++
		} else {
			busy = true
		}
		switch over := time.Since(begun) >= patience; {
		case counted >= tries:
			return errors.New(wrong)
		case over && busy:
			return fmt.Errorf("%w: %s", ErrBusy, wrong)
		}
	}
}

// Lateness is by how much sleeps were longer than asked for: what a program is
// late by that waits for a time, or for a packet.
type Lateness struct {
	P90, Max time.Duration
	Sleeps   int
}

// Kept says whether the machine kept up: hardly anybody waited for a processor,
// and nothing stood still.
func (l Lateness) Kept() bool { return l.Sleeps > 0 && l.P90 <= mostOften && l.Max <= mostEver }

func (l Lateness) String() string {
	return fmt.Sprintf("late by %v at most in 90 %% of %d sleeps, by %v ever", l.P90, l.Sleeps, l.Max)
}

// Watch begins to look how late sleeps are. end ends that and says it; it must
// be called.
func Watch() (end func() Lateness) {
	stop, result := make(chan struct{}), make(chan Lateness)
	go func() {
		var late []time.Duration
		doze, done := sleeper()
		defer done()
		for { // once at least: on a busy machine it may begin when it is to end
			begun := time.Now()
			doze(sleep)
			late = append(late, time.Since(begun)-sleep)
			select {
			case <-stop:
				result <- lateness(late)
				return
			default:
			}
		}
	}()
	return func() Lateness {
		close(stop)
		return <-result
	}
}

// lateness sorts what it is given.
func lateness(late []time.Duration) (l Lateness) {
	if len(late) == 0 {
		return Lateness{}
	}
	slices.Sort(late)
	return Lateness{P90: late[len(late)*9/10], Max: late[len(late)-1], Sleeps: len(late)}
}
