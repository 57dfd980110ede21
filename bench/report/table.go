package report

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"

	"funnel/bench/lab"
)

// column is one of a table: what it is called and what it says about a row.
type column struct {
	title string
	value func(Row) string
}

// columnsOf are the columns that a scenario's kind has.
func columnsOf(s *Scenario) []column {
	var columns []column
	add := func(title string, value func(Row) string) { columns = append(columns, column{title, value}) }
	any := func(get func(Row) Spread) bool {
		for _, row := range s.Rows {
			if get(row).Count > 0 {
				return true
			}
		}
		return false
	}
	if s.Kind == string(lab.Play) {
		digits := 1
		if s.Loopback {
			digits = 3
		}
		add("p50 ms", func(r Row) string { return ranged(r.P50, digits) })
		add("p90", func(r Row) string { return number(r.P90, digits) })
		add("p99", func(r Row) string { return ranged(r.P99, digits) })
		add("p99.9", func(r Row) string { return number(r.P999, digits) })
		add("max", func(r Row) string { return number(r.Max, digits) })
		add("jitter", func(r Row) string { return number(r.Jitter, digits+1) })
		add("lost", func(r Row) string { return percent(r.Loss, 2) })
		add("≤5ms", func(r Row) string { return percent(r.OnTime[0], 2) })
		add("≤20ms", func(r Row) string { return percent(r.OnTime[1], 2) })
		add("≤50ms", func(r Row) string { return percent(r.OnTime[2], 2) })
		add("≤100ms", func(r Row) string { return percent(r.OnTime[3], 2) })
	}
	if any(func(r Row) Spread { return r.Recovery }) {
		add("back after s", func(r Row) string { return number(r.Recovery, 2) })
	}
	if any(func(r Row) Spread { return r.Echoed }) {
		add("echoed/s", func(r Row) string { return ranged(r.Echoed, 0) })
	}
	if any(func(r Row) Spread { return r.Bulk }) {
		add("bulk Mbit/s", func(r Row) string { return ranged(r.Bulk, 1) })
	}
	if any(func(r Row) Spread { return r.RelayCPU }) {
		add("CPU relay", func(r Row) string { return percent(r.RelayCPU, 1) })
		add("agent", func(r Row) string { return percent(r.AgentCPU, 1) })
		add("MB relay", func(r Row) string { return number(r.RelayMemory, 0) })
		add("agent", func(r Row) string { return number(r.AgentMemory, 0) })
	}
	add("rounds", func(r Row) string {
		if r.Counted == 0 {
			return fmt.Sprintf("%d, none quiet", r.Runs)
		}
		return fmt.Sprintf("%d/%d", r.Counted, r.Runs)
	})
	return columns
}

// number is the median.
func number(s Spread, digits int) string {
	switch {
	case s.Count == 0:
		return "-"
	case math.IsInf(s.Median, 1):
		return "never"
	}
	return fmt.Sprintf("%.*f", digits, s.Median)
}

// ranged is the median and how far the rounds went.
func ranged(s Spread, digits int) string {
	text := number(s, digits)
	if s.Count > 1 {
		text += fmt.Sprintf(" (%.*f-%.*f)", digits, s.Least, digits, s.Most)
	}
	return text
}

func percent(s Spread, digits int) string {
	if s.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.*f%%", digits, 100*s.Median)
}

// WriteTable writes every scenario as text.
func (r *Report) WriteTable(w io.Writer) error {
	m := r.Result.Machine
	fmt.Fprintf(w, "%s, %d cores, Linux %s, commit %s\n", m.Processor, m.Cores, m.Kernel, m.Commit)
	fmt.Fprintf(w, "medians of the rounds that were quiet, in parentheses how far they went; on time is measured from the path's floor, and what is lost isn't\n")
	for i := range r.Scenarios {
		if err := r.Scenarios[i].writeTable(w); err != nil {
			return err
		}
	}
	for _, text := range r.Result.LeftOut {
		fmt.Fprintf(w, "\nleft out: %s\n", text)
	}
	return nil
}

func (s *Scenario) writeTable(w io.Writer) error {
	fmt.Fprintf(w, "\n%s: %s\n", s.Name, s.What)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	columns := columnsOf(s)
	titles := []string{"  way"}
	for _, c := range columns {
		titles = append(titles, c.title)
	}
	fmt.Fprintln(table, strings.Join(titles, "\t"))
	for _, row := range s.Rows {
		cells := []string{"  " + row.Way}
		for _, c := range columns {
			cells = append(cells, c.value(row))
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, row := range s.Rows {
		for _, text := range row.Errors {
			fmt.Fprintf(w, "  %s: %s\n", row.Way, text)
		}
	}
	return nil
}
