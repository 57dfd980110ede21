package checkup

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"funnel/internal/probe"
)

// Load is what goes on beside a measurement.
type Load string

// The loads, in the order in which they are measured.
const (
	Quiet    Load = "quiet"
	Upload   Load = "upload"   // from this machine to the relay, past the funnel
	Download Load = "download" // from the relay to this machine, past the funnel
	Through  Load = "through"  // a player downloads from the agent, through the funnel
)

// title is how a report calls it.
func (l Load) title() string {
	switch l {
	case Upload:
		return "beside an upload to the relay"
	case Download:
		return "beside a download from the relay"
	case Through:
		return "beside a player's download through the funnel"
	}
	return "with nothing else going on"
}

// Way is how messages go.
type Way string

// The ways.
const (
	PlainTCP  Way = "plain-tcp"  // to the relay's test port
	PlainUDP  Way = "plain-udp"  // likewise
	FunnelTCP Way = "funnel-tcp" // to the public port of a forward, and so to the relay twice
	FunnelUDP Way = "funnel-udp" // likewise
)

var ways = []Way{PlainTCP, PlainUDP, FunnelTCP, FunnelUDP}

// title is how a report calls it.
func (w Way) title() string {
	switch w {
	case PlainTCP:
		return "plain TCP to the relay"
	case PlainUDP:
		return "plain UDP to the relay"
	case FunnelTCP:
		return "TCP through the funnel"
	}
	return "UDP through the funnel"
}

func (w Way) udp() bool { return w == PlainUDP || w == FunnelUDP }

// Result is what was measured and what it means. Its JSON is for scripts: fields
// are added, not renamed.
type Result struct {
	Relay    string        `json:"relay"`   // as it was named
	Address  string        `json:"address"` // as it was reached
	Server   string        `json:"server"`  // its SSH version string
	Started  time.Time     `json:"started"`
	Profile  string        `json:"profile"`
	Rate     float64       `json:"messages_per_second"`
	Size     int           `json:"bytes_per_message"`
	Duration time.Duration `json:"duration_ns"`
	Lanes    int           `json:"lanes"`
	Copies   int           `json:"copies"`                               // 0 is auto
	BulkRate uint64        `json:"bulk_rate_bytes_per_second,omitempty"` // 0 is none

	Kernel     *Kernel     `json:"kernel,omitempty"` // nil where the kernel doesn't tell
	Conditions []Condition `json:"conditions"`
	Notes      []string    `json:"notes,omitempty"` // what could not be measured, and why
	Verdict    Verdict     `json:"verdict"`
}

// Kernel is what the kernel's TCP says of the path to the relay (TCP_INFO).
type Kernel struct {
	MinRTT time.Duration `json:"min_rtt_ns"`
	SRTT   time.Duration `json:"smoothed_rtt_ns"`
}

// Condition is all ways beside one load.
type Condition struct {
	Load Load       `json:"load"`
	Bulk float64    `json:"bulk_bits_per_second,omitempty"` // what the load moved
	Ways []Measured `json:"ways"`
}

// Measured is one way.
type Measured struct {
	Way     Way            `json:"way"`
	Problem string         `json:"problem,omitempty"` // why there is nothing, or not all
	Blocked bool           `json:"blocked,omitempty"` // nothing came back at all
	Summary *probe.Summary `json:"summary,omitempty"`
	Loss    float64        `json:"loss"` // of UDP, there and back

	// Of TCP, where the kernel tells: what it sent, and sent again and not for
	// nothing, on the way from here to the relay.
	Segments uint32 `json:"segments,omitempty"`
	Resent   uint32 `json:"resent,omitempty"`

	// Of a way through the funnel: its median less twice that of the plain way,
	// and divided by it.
	Overhead time.Duration `json:"overhead_ns,omitempty"`
	Ratio    float64       `json:"ratio,omitempty"`

	histogram *hdrhistogram.Histogram
}

// find is the condition of a load, nil if it wasn't measured.
func (r *Result) find(load Load) *Condition {
	for i := range r.Conditions {
		if r.Conditions[i].Load == load {
			return &r.Conditions[i]
		}
	}
	return nil
}

// find is a way that was measured, nil if it wasn't.
func (c *Condition) find(way Way) *Measured {
	if c == nil {
		return nil
	}
	for i := range c.Ways {
		if m := &c.Ways[i]; m.Way == way && m.Summary != nil && m.Summary.Received > 0 {
			return m
		}
	}
	return nil
}

// first is the first of the ways that was measured, nil if none was.
func (c *Condition) first(ways ...Way) *Measured {
	for _, way := range ways {
		if m := c.find(way); m != nil {
			return m
		}
	}
	return nil
}

// compare fills in what the funnel adds to the plain ways.
func (c *Condition) compare() {
	for way, plain := range map[Way][]Way{FunnelTCP: {PlainTCP, PlainUDP}, FunnelUDP: {PlainUDP, PlainTCP}} {
		m, base := c.find(way), c.first(plain...)
		if m == nil || base == nil || base.Summary.P50 <= 0 {
			continue
		}
		m.Overhead = m.Summary.P50 - 2*base.Summary.P50
		m.Ratio = float64(m.Summary.P50) / float64(2*base.Summary.P50)
	}
}
