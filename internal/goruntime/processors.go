package goruntime

import (
	"os"
	"runtime"
	"runtime/metrics"
)

// calmProcessors has the program's Go code run on as many processors as it has
// work for, beginning with one. With more, each goroutine that becomes ready wakes
// the thread of another processor, which finds, some 50 µs later, that the work is
// done: most of the time of a lone datagram, and a third of the throughput of one
// connection.
func calmProcessors() {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	p := processors{most: runtime.GOMAXPROCS(0), now: 1} // which is what cgroups leave
	if p.most == 1 {
		return
	}
	runtime.GOMAXPROCS(p.now)
	afterEachCollection(func() {
		samples := []metrics.Sample{{Name: "/cpu/classes/total:cpu-seconds"}, {Name: "/cpu/classes/idle:cpu-seconds"}}
		metrics.Read(samples)
		if samples[0].Value.Kind() != metrics.KindFloat64 || samples[1].Value.Kind() != metrics.KindFloat64 {
			return
		}
		if p.follow(samples[0].Value.Float64(), samples[1].Value.Float64()) {
			runtime.GOMAXPROCS(p.now) // which stops the program for some microseconds
		}
	})
}

// processors is how many the program has.
type processors struct {
	most, now   int
	total, idle float64 // seconds of their time, as of the last look
}

// follow learns what the time of the program's processors was until now, in all
// and without work, and reports whether their number is another one from now on.
func (p *processors) follow(total, idle float64) (changed bool) {
	span := total - p.total
	if span < busySpan.Seconds()*float64(p.now) {
		return false
	}
	busy := 1 - (idle-p.idle)/span
	p.total, p.idle = total, idle
	before := p.now
	switch {
	case busy > busyAbove:
		p.now = min(2*p.now, p.most)
	case busy < idleBelow:
		p.now = max(p.now/2, 1)
	}
	return p.now != before
}
