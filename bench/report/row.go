package report

import (
	"math"
	"slices"
	"time"

	"funnel/bench/result"
	"funnel/internal/probe"
)

// Spread is a figure over the rounds: the median, and how far it went.
type Spread struct {
	Median, Least, Most float64
	Count               int
}

func spread(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	slices.Sort(values)
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + values[middle]) / 2
	}
	return Spread{median, values[0], values[len(values)-1], len(values)}
}

// Row is one way in one scenario, over the rounds that count.
type Row struct {
	Way, System, Network string
	Runs, Counted        int      // rounds it ran; those that count
	Errors               []string // what went wrong, each once

	// In milliseconds.
	P50, P90, P99, P999, Max, Jitter Spread
	// Shares, 0 to 1.
	Loss   Spread
	OnTime [len(probe.Bounds)]Spread

	Duplicates, Reordered, Sent int

	Recovery Spread // seconds, infinite for never
	Bulk     Spread // Mbit/s
	Echoed   Spread // a second

	RelayCPU, AgentCPU       Spread // shares of a core
	RelayMemory, AgentMemory Spread // MB

	// All is every round that counts taken together.
	All []probe.Series
}

// Rows are a scenario's ways in their order. Rounds that weren't quiet count
// only if none was.
func rows(r *result.Result, s *result.Scenario, samples map[string][]probe.Series) []Row {
	var all []Row
	for _, way := range s.Order {
		var runs []result.Run
		for _, run := range r.Runs {
			if run.Scenario == s.Name && run.Way == way {
				runs = append(runs, run)
			}
		}
		if len(runs) > 0 {
			all = append(all, row(runs, s, samples))
		}
	}
	return all
}

func row(runs []result.Run, s *result.Scenario, samples map[string][]probe.Series) Row {
	row := Row{Way: runs[0].Way, System: runs[0].System, Network: runs[0].Network, Runs: len(runs)}
	quiet := slices.DeleteFunc(slices.Clone(runs), func(run result.Run) bool { return !run.Quiet || run.Error != "" })
	row.Counted = len(quiet)
	if len(quiet) == 0 {
		quiet = runs
	}
	for _, run := range runs {
		if run.Error != "" && !slices.Contains(row.Errors, run.Error) {
			row.Errors = append(row.Errors, run.Error)
		}
	}
	c := new(columns)
	for _, run := range quiet {
		series := samples[run.Raw]
		row.All = append(row.All, series...)
		if len(series) > 0 {
			summary := probe.Summarize(s.Floor, series...)
			run.Summary = &summary
		}
		c.add(run)
		if run.Summary != nil {
			row.Duplicates += run.Summary.Duplicates
			row.Reordered += run.Summary.Reordered
			row.Sent += run.Summary.Sent
		}
	}
	c.fill(&row)
	return row
}

// columns are the rounds' figures, one list for each.
type columns struct {
	p50, p90, p99, p999, most, jitter, loss []float64
	onTime                                  [len(probe.Bounds)][]float64
	recovery, bulk, echoed                  []float64
	relayCPU, agentCPU                      []float64
	relayMemory, agentMemory                []float64
}

func (c *columns) add(run result.Run) {
	if s := run.Summary; s != nil && s.Sent > 0 {
		c.loss = append(c.loss, s.Loss())
		for i := range s.OnTime {
			c.onTime[i] = append(c.onTime[i], s.OnTime[i])
		}
		if s.Received > 0 {
			c.p50 = append(c.p50, ms(s.P50))
			c.p90 = append(c.p90, ms(s.P90))
			c.p99 = append(c.p99, ms(s.P99))
			c.p999 = append(c.p999, ms(s.P999))
			c.most = append(c.most, ms(s.Max))
			c.jitter = append(c.jitter, ms(s.Jitter))
		}
	}
	switch {
	case run.Recovery > 0:
		c.recovery = append(c.recovery, run.Recovery.Seconds())
	case run.Recovery < 0: // never: without it the others would speak for all
		c.recovery = append(c.recovery, math.Inf(1))
	}
	if run.Bulk != nil {
		c.bulk = append(c.bulk, run.Bulk.BitsPerSecond()/1e6)
	}
	if run.Echoed != nil {
		c.echoed = append(c.echoed, run.Echoed.PerSecond())
	}
	for _, side := range []struct {
		cost        result.Cost
		cpu, memory *[]float64
	}{{run.Relay, &c.relayCPU, &c.relayMemory}, {run.Agent, &c.agentCPU, &c.agentMemory}} {
		if side.cost.Known {
			*side.cpu = append(*side.cpu, side.cost.Share())
			*side.memory = append(*side.memory, float64(side.cost.Memory)/1e6)
		}
	}
}

func (c *columns) fill(row *Row) {
	row.P50, row.P90, row.P99, row.P999 = spread(c.p50), spread(c.p90), spread(c.p99), spread(c.p999)
	row.Max, row.Jitter, row.Loss = spread(c.most), spread(c.jitter), spread(c.loss)
	for i := range row.OnTime {
		row.OnTime[i] = spread(c.onTime[i])
	}
	row.Recovery, row.Bulk, row.Echoed = spread(c.recovery), spread(c.bulk), spread(c.echoed)
	row.RelayCPU, row.AgentCPU = spread(c.relayCPU), spread(c.agentCPU)
	row.RelayMemory, row.AgentMemory = spread(c.relayMemory), spread(c.agentMemory)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
