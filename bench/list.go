package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"funnel/bench/lab"
	"funnel/bench/system"
	"funnel/internal/probe"
)

// listCommand has no flags.
type listCommand struct{}

// Run prints the tables.
func (*listCommand) Run() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scenarios")
	for _, s := range lab.Scenarios {
		fmt.Fprintf(w, "  %s\t%s\n", s.Name, s.What)
	}
	fmt.Fprintln(w, "\nsystems")
	for _, s := range systems(system.Programs{}) {
		fmt.Fprintf(w, "  %s\t%s\n", s.Name, s.What)
	}
	fmt.Fprintln(w, "\nprofiles")
	for _, p := range probe.Profiles {
		fmt.Fprintf(w, "  %s\t%g a second of %d bytes: %s\n", p.Name, p.Rate, p.Size, p.Like)
	}
	return w.Flush()
}
