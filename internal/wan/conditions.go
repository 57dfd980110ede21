package wan

import (
	"errors"
	"fmt"
	"time"
)

// Conditions describe one direction of a link. The zero value is a perfect
// wire: no delay, no loss, no limit.
//
// A packet passes, in this order: the cut, the address translation, the
// firewall, the bottleneck and its queue, the loss (which therefore takes time on the
// bottleneck), and the delay.
type Conditions struct {
	// Delay is the one-way delay, the floor of what a packet takes. 0 to 10 s.
	Delay time.Duration
	// Jitter is the most that is added to Delay, drawn evenly from 0 to Jitter
	// for each packet. 0 to 10 s.
	Jitter time.Duration
	// Reorder lets a packet with less jitter overtake one with more. Without
	// it the order is kept, as nearly all of the Internet keeps it: a packet is
	// never delivered before the one ahead.
	Reorder bool
	// Loss is the share of packets lost each by itself. 0 to 1.
	Loss float64
	// Outage is loss in bursts, independent of Loss.
	Outage Outage
	// Rate is the bottleneck's, in bit/s of IP packets, headers included. 0 is
	// unlimited.
	Rate int64
	// Queue is the drop-tail queue ahead of the bottleneck, as the time it
	// takes to drain at Rate, the arriving packet included. 0 means
	// [DefaultQueue]. A lone packet always fits. Without Rate there is none.
	Queue time.Duration
	// NoUDP drops all UDP without a word, as many a firewall does.
	NoUDP bool
}

// Outage is loss in bursts of time, the model of Gilbert (Bell System Technical
// Journal, 1960) in continuous time: the link is up or down, everything is
// lost while it is down, and how long it stays either way is exponentially
// distributed.
type Outage struct {
	// Share is the share of time that the link is down. 0, for never, up to
	// but not including 1: for that there is [Link.Cut].
	Share float64
	// Mean is how long an outage lasts on average. At least 1 ms if Share
	// isn't 0.
	Mean time.Duration
}

// Validate returns an error that names the first field out of range.
func (c Conditions) Validate() error {
	switch {
	case c.Delay < 0 || c.Delay > maxDelay:
		return fmt.Errorf("delay %v is not between 0 and %v", c.Delay, maxDelay)
	case c.Jitter < 0 || c.Jitter > maxDelay:
		return fmt.Errorf("jitter %v is not between 0 and %v", c.Jitter, maxDelay)
	case !(c.Loss >= 0 && c.Loss <= 1): // not NaN either
		return fmt.Errorf("loss %v is not between 0 and 1", c.Loss)
	case !(c.Outage.Share >= 0 && c.Outage.Share < 1):
		return fmt.Errorf("share of outages %v is not between 0 and 1", c.Outage.Share)
	case c.Outage.Share > 0 && c.Outage.Mean < minOutage:
		return fmt.Errorf("mean duration of an outage %v is less than %v", c.Outage.Mean, minOutage)
	case c.Rate < 0 || c.Rate > 0 && c.Rate < minRate:
		return fmt.Errorf("rate %d bit/s is less than %d", c.Rate, minRate)
	case c.Queue < 0 || c.Queue > maxDelay:
		return fmt.Errorf("queue %v is not between 0 and %v", c.Queue, maxDelay)
	case c.Queue > 0 && c.Rate == 0:
		return errors.New("a queue needs a rate")
	}
	return nil
}
