package lab

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"funnel/bench/system"
	"funnel/internal/probe"
	"funnel/internal/wan"
)

// Kind is what a scenario measures.
type Kind string

// The kinds.
const (
	Play  Kind = "play"  // round trips of paced messages
	Flood Kind = "flood" // datagrams echoed a second
	Bulk  Kind = "bulk"  // Mbit/s of one TCP connection
	Idle  Kind = "idle"  // memory and CPU with nothing to do
)

// Scenario is a path and what is sent over it.
type Scenario struct {
	Name string
	What string
	Kind Kind

	// Loopback is this machine's loopback; otherwise PlayerLink and HomeLink
	// are emulated, the same both ways.
	Loopback             bool
	PlayerLink, HomeLink wan.Conditions

	// Rate is in messages a second and flow, Size in bytes, Flows in flows; 0
	// means the profile's, and one flow. More than one flow is UDP alone.
	Rate  float64
	Size  int
	Flows int

	// Beside is the direction of a bulk TCP transfer through the same tunnel.
	Beside probe.Direction
	// Greedy is the rate of one more flow that takes what it can get.
	Greedy float64
	// Cut is how long the home link is down, after a fifth of the duration.
	Cut time.Duration

	// Systems are the names of those that take part, as patterns of path.Match;
	// none means those of everyday.
	Systems []string
	// Least is the shortest duration that makes sense, Most the most rounds.
	Least time.Duration
	Most  int
	// Congestion is the hosts' congestion control; cubic, which a stock VPS and
	// a home server have, unless said.
	Congestion string
	// Quick scenarios are part of a quick run.
	Quick bool
}

// everyday is who takes part unless a scenario says otherwise: the baselines,
// ssh, funnel in its modes, and what the user described.
var everyday = []string{"direct", "ssh", "funnel*", "described"}

// half is one way over one of the two links: 20 ms of round trip each, 40 ms
// from player to home. Germany to a VPS in a neighbouring country and back home.
const half = 10 * time.Millisecond

// line is a link without fault.
var line = wan.Conditions{Delay: half}

// Scenarios is the laboratory's table. To add one, add an entry.
var Scenarios = []Scenario{
	{
		Name: "clean", What: "a clean path of 40 ms",
		Kind: Play, PlayerLink: line, HomeLink: line, Quick: true,
	},
	{
		Name: "loss-1", What: "40 ms, 1 % of the packets lost on the home link, each way",
		Kind: Play, PlayerLink: line, HomeLink: wan.Conditions{Delay: half, Loss: 0.01}, Quick: true,
	},
	{
		Name: "loss-3", What: "40 ms, 3 % of the packets lost on the home link, each way",
		Kind: Play, PlayerLink: line, HomeLink: wan.Conditions{Delay: half, Loss: 0.03},
	},
	{
		Name: "outages", What: "40 ms, the home link gone for 2 % of the time, 20 ms at once on average, each way",
		Kind: Play, PlayerLink: line, HomeLink: wan.Conditions{Delay: half, Outage: wan.Outage{Share: 0.02, Mean: 20 * time.Millisecond}},
	},
	{
		Name: "busy-download", What: "a home line of 20 Mbit/s with a 100 ms drop-tail queue; the player downloads through the same tunnel",
		Kind: Play, PlayerLink: line, HomeLink: busyLine, Beside: probe.Download, Quick: true,
	},
	{
		Name: "busy-upload", What: "the same line; the player uploads through the same tunnel",
		Kind: Play, PlayerLink: line, HomeLink: busyLine, Beside: probe.Upload,
	},
	{
		Name: "players-64", What: "64 players at 30 datagrams a second, a clean path of 40 ms",
		Kind: Play, PlayerLink: line, HomeLink: line, Flows: 64, Rate: 30, Systems: manyFlows,
	},
	{
		Name: "flows-500", What: "500 flows at 30 datagrams a second, a clean path of 40 ms",
		Kind: Play, PlayerLink: line, HomeLink: line, Flows: 500, Rate: 30, Systems: manyFlows,
	},
	{
		Name: "flows-500-flood", What: "the same, and one more flow that sends 5,000 a second",
		Kind: Play, PlayerLink: line, HomeLink: line, Flows: 500, Rate: 30, Greedy: 5000, Systems: manyFlows,
	},
	{
		Name: "cut", What: "a clean path of 40 ms, cut for 10 s",
		Kind: Play, PlayerLink: line, HomeLink: line, Cut: 10 * time.Second, Least: 30 * time.Second, Most: 3,
		Systems: []string{"direct", "ssh", "funnel", "described"},
	},
	{
		Name: "loopback", What: "loopback, 64 bytes a thousand times a second",
		Kind: Play, Loopback: true, Rate: 1000, Size: 64, Quick: true,
		Systems: []string{"direct", "forwarder", "ssh", "funnel*", "described"},
	},
	{
		Name: "loopback-500", What: "loopback, 500 flows at 30 datagrams a second",
		Kind: Play, Loopback: true, Flows: 500, Rate: 30, Systems: plainLoopback,
	},
	{
		Name: "loopback-500-flood", What: "the same, and one more flow that sends 5,000 a second",
		Kind: Play, Loopback: true, Flows: 500, Rate: 30, Greedy: 5000, Systems: plainLoopback,
	},
	{
		Name: "rate-64", What: "loopback, how many datagrams of 64 bytes are echoed a second",
		Kind: Flood, Loopback: true, Size: 64, Quick: true, Systems: onLoopback,
	},
	{
		Name: "rate-1200", What: "loopback, how many datagrams of 1,200 bytes are echoed a second",
		Kind: Flood, Loopback: true, Size: 1200, Systems: onLoopback,
	},
	{
		Name: "bulk-download", What: "loopback, one TCP connection, home sends",
		Kind: Bulk, Loopback: true, Beside: probe.Download, Quick: true, Systems: ciphers,
	},
	{
		Name: "bulk-upload", What: "loopback, one TCP connection, the player sends",
		Kind: Bulk, Loopback: true, Beside: probe.Upload, Systems: ciphers,
	},
	{
		Name: "idle", What: "memory and CPU with ten flows that say nothing",
		Kind: Idle, Loopback: true, Flows: 10, Quick: true,
		Systems: []string{"ssh", "funnel", "described"},
	},
}

var (
	// busyLine is the home line of somebody with fibre to the curb, and a
	// router that lets its queue grow.
	busyLine = wan.Conditions{Delay: half, Rate: 20_000_000, Queue: 100 * time.Millisecond}

	manyFlows     = []string{"direct", "funnel*", "described"}
	plainLoopback = []string{"direct", "forwarder", "funnel", "described"}

	onLoopback = []string{"direct", "forwarder", "funnel*", "described"}
	ciphers    = []string{"direct", "ssh", "ssh-aes128-gcm", "funnel", "described"}
)

// Find returns the scenarios that any of the patterns matches, all without one,
// in the table's order.
func Find(patterns []string) ([]Scenario, error) {
	if len(patterns) == 0 {
		return Scenarios, nil
	}
	var names []string
	for _, s := range Scenarios {
		names = append(names, s.Name)
	}
	for _, pattern := range patterns {
		if !matchesAny([]string{pattern}, names...) {
			return nil, fmt.Errorf("no scenario %q: there are %s", pattern, strings.Join(names, ", "))
		}
	}
	var found []Scenario
	for _, s := range Scenarios {
		if matchesAny(patterns, s.Name) {
			found = append(found, s)
		}
	}
	return found, nil
}

// matchesAny says whether any pattern matches any name.
func matchesAny(patterns []string, names ...string) bool {
	for _, pattern := range patterns {
		for _, name := range names {
			if ok, _ := path.Match(pattern, name); ok {
				return true
			}
		}
	}
	return false
}

// flows is how many there are.
func (s *Scenario) flows() int { return max(1, s.Flows) }

// floor is the least round trip the path allows: the delays, and half a
// millisecond for what two kernels and two emulated links take.
func (s *Scenario) floor() time.Duration {
	if s.Loopback {
		return 0
	}
	return 2*(s.PlayerLink.Delay+s.HomeLink.Delay) + 500*time.Microsecond
}

func (s *Scenario) congestion() string {
	if s.Congestion == "" {
		return "cubic"
	}
	return s.Congestion
}

// Quick are the scenarios of a quick run.
func Quick() []Scenario {
	return slices.DeleteFunc(slices.Clone(Scenarios), func(s Scenario) bool { return !s.Quick })
}

// Choose returns the systems that any of the patterns matches, all without one,
// and direct traffic in any case.
func Choose(all []*system.System, patterns []string) ([]*system.System, error) {
	if len(patterns) == 0 {
		return all, nil
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	for _, pattern := range patterns {
		if !matchesAny([]string{pattern}, names...) {
			return nil, fmt.Errorf("no system %q: there are %s", pattern, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(s *system.System) bool {
		return s.Name != "direct" && !matchesAny(patterns, s.Name)
	}), nil
}
