package probe

import "time"

// Sample is one message's fate. Times count from the Series' Start.
type Sample struct {
	Intended time.Duration // when it was to be sent
	Sent     time.Duration // when it was handed to the kernel; 0 if never
	Received time.Duration // when its echo came first; 0 if it never came
}

// Lost says that no echo came.
func (s Sample) Lost() bool { return s.Received == 0 }

// RoundTrip is the time from when the message was to be sent to its echo. It
// means nothing if the message is lost.
func (s Sample) RoundTrip() time.Duration { return s.Received - s.Intended }

// Duplicate is an echo that came again.
type Duplicate struct {
	Number   int // of the sample
	Received time.Duration
}

// Series is what was measured of one flow or connection. Sample i is message i.
type Series struct {
	Start      time.Time
	Rate       float64 // messages a second
	Size       int     // bytes a message
	Samples    []Sample
	Duplicates []Duplicate
}
