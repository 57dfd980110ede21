// Package report turns a result into what people read: a table for the
// terminal, plots, and a page of HTML that needs no network. Every figure is
// computed anew from the raw samples.
package report

import (
	"fmt"

	"funnel/bench/result"
	"funnel/internal/probe"
)

// Report is a result and what follows from it.
type Report struct {
	Result    *result.Result
	Dir       string
	Scenarios []Scenario
}

// Scenario is one scenario's rows.
type Scenario struct {
	result.Scenario
	Rows []Row
}

// New reads a result and its samples from a directory.
func New(dir string) (*Report, error) {
	r, err := result.Load(dir)
	if err != nil {
		return nil, err
	}
	samples := make(map[string][]probe.Series)
	for _, run := range r.Runs {
		if samples[run.Raw], err = run.Samples(dir); err != nil {
			return nil, fmt.Errorf("samples of %s, round %d, %s: %w", run.Scenario, run.Round, run.Way, err)
		}
	}
	report := &Report{Result: r, Dir: dir}
	for _, s := range r.Scenarios {
		report.Scenarios = append(report.Scenarios, Scenario{s, rows(r, &s, samples)})
	}
	return report, nil
}
