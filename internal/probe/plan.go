package probe

import (
	"fmt"
	"time"
)

// Plan is what to send on every flow.
type Plan struct {
	Rate     float64       // messages a second
	Size     int           // bytes a message, MinSize to MaxSize
	Duration time.Duration // how long to send
	Grace    time.Duration // how long to wait for echoes after the last message
}

func (p Plan) check() error {
	switch {
	case p.Rate <= 0 || p.Rate > 1e6:
		return fmt.Errorf("rate %g: must be more than 0 and at most a million messages a second", p.Rate)
	case p.Size < MinSize || p.Size > MaxSize:
		return fmt.Errorf("size %d: must be %d to %d bytes", p.Size, MinSize, MaxSize)
	case p.count() < 1:
		return fmt.Errorf("duration %s: too short for one message at %g a second", p.Duration, p.Rate)
	}
	return nil
}

// interval is the time between two messages of a flow.
func (p Plan) interval() time.Duration { return time.Duration(float64(time.Second) / p.Rate) }

// count is the number of messages of a flow.
func (p Plan) count() int { return int(p.Duration.Seconds()*p.Rate + 0.5) }

// series is an empty Series for the plan, whose flow is offset against others.
func (p Plan) series(start time.Time, offset time.Duration) Series {
	s := Series{Start: start, Rate: p.Rate, Size: p.Size, Samples: make([]Sample, p.count())}
	for i := range s.Samples {
		s.Samples[i].Intended = offset + time.Duration(float64(i)/p.Rate*float64(time.Second))
	}
	return s
}
