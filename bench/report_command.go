package main

import (
	"os"

	"funnel/bench/report"
)

// reportCommand is the arguments of report.
type reportCommand struct {
	Dir      string   `arg:"" help:"A directory that run wrote."`
	Markdown bool     `help:"Print a table for a README instead, and write nothing."`
	Scenario []string `placeholder:"NAME" help:"The scenarios of that table, as names or patterns. Repeatable or separated by commas. Default: all with round trips."`
	Systems  []string `placeholder:"NAME" help:"The systems of that table, likewise. Default: all."`
}

// Run writes the report.
func (c *reportCommand) Run() error {
	if !c.Markdown {
		return writeReport(c.Dir, os.Stdout)
	}
	r, err := report.New(c.Dir)
	if err != nil {
		return err
	}
	return r.WriteMarkdown(os.Stdout, report.Choice{Scenarios: c.Scenario, Systems: c.Systems})
}
