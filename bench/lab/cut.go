package lab

import (
	"time"

	"funnel/internal/probe"
)

// cut is a link that goes down a fifth into a turn, and comes up again.
type cut struct {
	length time.Duration // 0 without one
	ended  time.Time     // when it is to come up
	done   chan struct{}
	stop   chan struct{}
}

// cutLater cuts the home link if the scenario says so.
func (s *stage) cutLater() *cut {
	if s.scenario.Cut == 0 || s.three == nil {
		return &cut{}
	}
	c := &cut{length: s.options.cut(s.scenario), done: make(chan struct{}), stop: make(chan struct{})}
	begin := s.options.duration(s.scenario) / 5
	c.ended = time.Now().Add(begin + c.length)
	go func() {
		defer close(c.done)
		defer s.three.HomeLink.Restore()
		for _, step := range []struct {
			at time.Time
			do func()
		}{{c.ended.Add(-c.length), s.three.HomeLink.Cut}, {c.ended, s.three.HomeLink.Restore}} {
			select {
			case <-time.After(time.Until(step.at)):
				step.do()
			case <-c.stop:
				return
			}
		}
	}()
	return c
}

// restore makes sure that the link is up, and returns when nobody will cut it.
func (c *cut) restore() {
	if c.length > 0 {
		close(c.stop)
		<-c.done
	}
}

// recovery is how long after the end of a cut the first echo came; negative if
// none did.
func recovery(s probe.Series, ended time.Time) time.Duration {
	end := ended.Sub(s.Start)
	first := time.Duration(-1)
	for _, sample := range s.Samples {
		if !sample.Lost() && sample.Received >= end && (first < 0 || sample.Received < first) {
			first = sample.Received
		}
	}
	if first < 0 {
		return -1
	}
	return first - end
}
