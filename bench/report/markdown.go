package report

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// Choice is what of a report is wanted: names, or patterns of path.Match. An
// empty list is all.
type Choice struct{ Scenarios, Systems []string }

func chosen(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// WriteMarkdown writes one table for a README: a line for each way, with the
// figures that most people ask for.
func (r *Report) WriteMarkdown(w io.Writer, choice Choice) error {
	m := r.Result.Machine
	fmt.Fprintf(w, "| scenario | way | p50 / p99, ms | lost | on time (20 ms) | bulk, Mbit/s |\n|---|---|---|---|---|---|\n")
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Kind != "play" || !chosen(choice.Scenarios, s.Name) {
			continue
		}
		title := s.Name
		for _, row := range s.Rows {
			if row.P50.Count == 0 || !chosen(choice.Systems, row.System) {
				continue
			}
			digits := 1
			if s.Loopback {
				digits = 3
			}
			if _, err := fmt.Fprintf(w, "| %s | %s | %s / %s | %s | %s | %s |\n", title, row.Way,
				number(row.P50, digits), number(row.P99, digits), percent(row.Loss, 2), percent(row.OnTime[1], 2), number(row.Bulk, 1)); err != nil {
				return err
			}
			title = ""
		}
	}
	_, err := fmt.Fprintf(w, "\n%s with %d cores, Linux %s, commit %s, %d rounds; `bench %s`\n",
		m.Processor, m.Cores, m.Kernel, m.Commit, r.Result.Rounds, strings.Join(r.Result.Command, " "))
	return err
}
