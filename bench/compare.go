package main

import (
	"os"

	"funnel/bench/report"
)

// compareCommand is the arguments of compare.
type compareCommand struct {
	A string `arg:"" help:"A directory that run wrote."`
	B string `arg:"" help:"Another one."`
}

// Run prints the comparison.
func (c *compareCommand) Run() error {
	a, err := report.New(c.A)
	if err != nil {
		return err
	}
	b, err := report.New(c.B)
	if err != nil {
		return err
	}
	return report.Compare(os.Stdout, a, b)
}
