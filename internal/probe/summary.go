package probe

import (
	"math"
	"slices"
	"time"
)

// Bounds are how long after the path's floor an echo may come and still be on
// time: 5 ms nobody feels, 20 ms is about a frame, 50 ms a fast game's
// interpolation, 100 ms where play suffers.
var Bounds = [4]time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}

// Summary is what a set of samples says. Percentiles are of what came back, by
// nearest rank; shares are of what was to be sent.
type Summary struct {
	Sent       int `json:"sent"`
	Received   int `json:"received"`
	Duplicates int `json:"duplicates"`
	Reordered  int `json:"reordered"` // came after one sent later (RFC 4737, 3.3)

	Min  time.Duration `json:"min_ns"`
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`

	// Jitter is RFC 3550's estimate (6.4.1), of round trips, averaged over time.
	Jitter time.Duration `json:"jitter_ns"`
	// OnTime is the share within each of Bounds after the floor. A lost message
	// isn't on time.
	OnTime [len(Bounds)]float64 `json:"on_time"`
	// Late is how long after its time the sender sent, 99th percentile: what the
	// measuring program itself adds.
	Late time.Duration `json:"sender_late_p99_ns"`
}

// Loss is the share that didn't come back.
func (s Summary) Loss() float64 {
	if s.Sent == 0 {
		return 0
	}
	return 1 - float64(s.Received)/float64(s.Sent)
}

// Summarize says what the series, taken together, hold. Floor is the least round
// trip the path allows.
func Summarize(floor time.Duration, all ...Series) Summary {
	var s Summary
	var trips, late []time.Duration
	var jitter, jitters float64
	for _, series := range all {
		s.Sent += len(series.Samples)
		s.Duplicates += len(series.Duplicates)
		s.Reordered += series.reordered()
		for _, sample := range series.Samples {
			if sample.Sent != 0 {
				late = append(late, max(0, sample.Sent-sample.Intended))
			}
			if !sample.Lost() {
				trips = append(trips, sample.RoundTrip())
			}
		}
		if j, ok := series.jitter(); ok {
			jitter += j
			jitters++
		}
	}
	s.Received = len(trips)
	if s.Received == 0 {
		return s
	}
	slices.Sort(trips)
	slices.Sort(late)
	s.Min, s.Max = trips[0], trips[len(trips)-1]
	s.P50, s.P90, s.P99, s.P999 = quantile(trips, 0.5), quantile(trips, 0.9), quantile(trips, 0.99), quantile(trips, 0.999)
	s.Late = quantile(late, 0.99)
	if jitters > 0 {
		s.Jitter = time.Duration(jitter / jitters)
	}
	for i, bound := range Bounds {
		within, _ := slices.BinarySearch(trips, floor+bound+1)
		s.OnTime[i] = float64(within) / float64(s.Sent)
	}
	return s
}

// quantile is the nearest rank: the least value that at least the share q of the
// values doesn't exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	// The tiny step back keeps 0.9*10 from becoming 9.000000000000002.
	rank := int(math.Ceil(q*float64(len(sorted)) - 1e-9))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// arrivals is the numbers of the messages that came back, in the order they came.
func (s *Series) arrivals() []int {
	var numbers []int
	for i, sample := range s.Samples {
		if !sample.Lost() {
			numbers = append(numbers, i)
		}
	}
	slices.SortStableFunc(numbers, func(a, b int) int {
		return int(s.Samples[a].Received - s.Samples[b].Received)
	})
	return numbers
}

// reordered counts what came after a message with a higher number.
func (s *Series) reordered() int {
	next, reordered := 0, 0
	for _, number := range s.arrivals() {
		if number < next {
			reordered++
		} else {
			next = number + 1
		}
	}
	return reordered
}

// jitter is the mean over time of RFC 3550's J += (|D| - J)/16, in nanoseconds.
func (s *Series) jitter() (mean float64, ok bool) {
	arrivals := s.arrivals()
	if len(arrivals) < 2 {
		return 0, false
	}
	var j, sum float64
	for i := 1; i < len(arrivals); i++ {
		d := s.Samples[arrivals[i]].RoundTrip() - s.Samples[arrivals[i-1]].RoundTrip()
		j += (math.Abs(float64(d)) - j) / 16
		sum += j
	}
	return sum / float64(len(arrivals)-1), true
}
