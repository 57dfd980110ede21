package obs

import (
	"log/slog"
	"sync/atomic"
)

// Drop says why a datagram was given up.
type Drop uint8

// The reasons. Every datagram that goes in and doesn't come out is counted
// under exactly one of them, at the place that gave it up.
const (
	DropQueueFull  Drop = iota // its flow's queue was full and it was the oldest
	DropLaneFull               // its lane held as much as a lane may
	DropStale                  // it waited longer than the delay limit
	DropNoLane                 // no lane was up
	DropLaneLost               // its lane ended while it waited
	DropDuplicate              // another copy came first: the price of copies, not a loss
	DropUnknown                // its flow isn't known here
	DropSocket                 // the socket towards the client or target couldn't take it
	DropUnresolved             // the target's name has no address yet
	DropNoSocket               // no socket could be opened for its flow
	DropForbidden              // its client's network isn't allowed
	DropNewcomer               // too many flows begin at once, from its network or on its port
	DropFlowLimit              // there are as many flows as may be
	DropBandwidth              // it went beyond the bandwidth of its key or forward
	drops
)

var dropNames = [drops]string{
	DropQueueFull:  "queue_full",
	DropLaneFull:   "lane_full",
	DropStale:      "stale",
	DropNoLane:     "no_lane",
	DropLaneLost:   "lane_lost",
	DropDuplicate:  "duplicate",
	DropUnknown:    "unknown_flow",
	DropSocket:     "socket",
	DropUnresolved: "unresolved_target",
	DropNoSocket:   "no_socket",
	DropForbidden:  "forbidden_network",
	DropNewcomer:   "too_many_new_flows",
	DropFlowLimit:  "flow_limit",
	DropBandwidth:  "bandwidth",
}

// String is the reason as logs and metrics name it.
func (d Drop) String() string {
	if d >= drops {
		return "invalid"
	}
	return dropNames[d]
}

// Drops counts dropped datagrams by reason. The zero Drops is ready; all
// methods may be called at the same time.
type Drops struct{ counts [drops]atomic.Uint64 }

// Add counts n more datagrams dropped for reason.
func (d *Drops) Add(reason Drop, n int) {
	if n > 0 {
		d.counts[reason].Add(uint64(n))
	}
}

// Count is how many were dropped for reason so far.
func (d *Drops) Count(reason Drop) uint64 { return d.counts[reason].Load() }

// Snapshot is all counts at about one time, in the order of the reasons.
func (d *Drops) Snapshot() DropCounts {
	var s DropCounts
	for i := range d.counts {
		s[i] = d.counts[i].Load()
	}
	return s
}

// DropCounts is a snapshot of Drops, indexed by Drop.
type DropCounts [drops]uint64

// Since is what was added after earlier was taken.
func (c DropCounts) Since(earlier DropCounts) DropCounts {
	for i := range c {
		c[i] -= earlier[i]
	}
	return c
}

// Lost is the number of datagrams lost, which duplicates aren't.
func (c DropCounts) Lost() uint64 {
	var sum uint64
	for i, n := range c {
		if Drop(i) != DropDuplicate {
			sum += n
		}
	}
	return sum
}

// LogValue lists the reasons that occurred.
func (c DropCounts) LogValue() slog.Value {
	var attrs []slog.Attr
	for i, n := range c {
		if n > 0 {
			attrs = append(attrs, slog.Uint64(Drop(i).String(), n))
		}
	}
	return slog.GroupValue(attrs...)
}
