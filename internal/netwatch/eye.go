package netwatch

import (
	"fmt"
	"time"
)

// eye is what a running Watcher has seen last.
type eye struct {
	watcher *Watcher
	source  source
	clock   sleepClock

	known  bool // the state is
	state  state
	slept  time.Duration
	ticks  int  // since the last look
	failed bool // the last look
}

// look compares the state with the one known, and tells of what is different.
// What was lost counts as a change, too, as it may have been there and back.
func (e *eye) look(lost bool) { e.watcher.tell(e.differences(lost)) }

// differences is what look tells.
func (e *eye) differences(lost bool) (seen []string) {
	later, err := e.source.snapshot()
	e.ticks = 0
	if err != nil {
		// Once: it may stay so for long, as when descriptors have run out.
		if !e.failed {
			e.watcher.log.Warn("the host's network can't be read, trying again", "error", err)
		}
		e.failed = true
	} else {
		if e.known {
			seen = e.state.changesTo(later)
		}
		e.known, e.state, e.failed = true, later, false
	}
	if lost && len(seen) == 0 {
		seen = []string{"more changes of the network at once than could be read"}
	}
	return seen
}

// tick looks at the clock, and at the network if nobody tells of it or the last
// look failed.
func (e *eye) tick() {
	slept := e.clock()
	asleep := slept - e.slept
	// A clock read a moment late shows less than before: that isn't forgotten.
	e.slept = max(e.slept, slept)
	e.ticks++
	switch {
	case asleep >= minSleep:
		woken := fmt.Sprintf("the machine slept for %s", asleep.Round(time.Second))
		e.watcher.tell(append([]string{woken}, e.differences(false)...))
	case e.failed || e.source.hints() == nil && e.ticks >= pollTicks:
		e.look(false)
	}
}

// fallBack goes on with polling after the source has failed.
func (e *eye) fallBack() {
	e.source.close()
	e.source = openPoll(e.watcher.log)
	// Its states say other things: they can't be compared with the ones before.
	e.known = false
	e.watcher.tell([]string{"the kernel tells no more of changes"})
	e.look(false)
}
