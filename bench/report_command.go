package main

import "os"

// reportCommand is the arguments of report.
type reportCommand struct {
	Dir string `arg:"" help:"A directory that run wrote."`
}

// Run writes the report.
func (c *reportCommand) Run() error { return writeReport(c.Dir, os.Stdout) }
