package report

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Compare writes what two results have in common side by side: A, then B, then
// what B is of A.
func Compare(w io.Writer, a, b *Report) error {
	fmt.Fprintf(w, "A: %s, %s\nB: %s, %s\n", a.Dir, a.Result.Machine.Commit, b.Dir, b.Result.Machine.Commit)
	for i := range a.Scenarios {
		for j := range b.Scenarios {
			if a.Scenarios[i].Name == b.Scenarios[j].Name {
				if err := compare(w, &a.Scenarios[i], &b.Scenarios[j]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// figure is one that can be compared.
type figure struct {
	title  string
	get    func(Row) Spread
	digits int
	share  bool // shares are set against each other by difference
}

var figures = []figure{
	{"p50 ms", func(r Row) Spread { return r.P50 }, 2, false},
	{"p99 ms", func(r Row) Spread { return r.P99 }, 2, false},
	{"lost", func(r Row) Spread { return r.Loss }, 2, true},
	{"on time ≤20ms", func(r Row) Spread { return r.OnTime[1] }, 2, true},
	{"echoed/s", func(r Row) Spread { return r.Echoed }, 0, false},
	{"bulk Mbit/s", func(r Row) Spread { return r.Bulk }, 1, false},
	{"CPU relay", func(r Row) Spread { return r.RelayCPU }, 1, true},
	{"CPU agent", func(r Row) Spread { return r.AgentCPU }, 1, true},
	{"MB relay", func(r Row) Spread { return r.RelayMemory }, 0, false},
	{"MB agent", func(r Row) Spread { return r.AgentMemory }, 0, false},
}

func compare(w io.Writer, a, b *Scenario) error {
	fmt.Fprintf(w, "\n%s: %s\n", a.Name, a.What)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "  way\tfigure\tA\tB\tB to A")
	for _, ra := range a.Rows {
		for _, rb := range b.Rows {
			if ra.Way != rb.Way {
				continue
			}
			for _, f := range figures {
				sa, sb := f.get(ra), f.get(rb)
				if sa.Count == 0 || sb.Count == 0 {
					continue
				}
				if f.share {
					fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%+.*f points\n", ra.Way, f.title, percent(sa, f.digits), percent(sb, f.digits), f.digits, 100*(sb.Median-sa.Median))
					continue
				}
				ratio := "-"
				if sa.Median > 0 {
					ratio = fmt.Sprintf("x %.3f", sb.Median/sa.Median)
				}
				fmt.Fprintf(table, "  %s\t%s\t%s\t%s\t%s\n", ra.Way, f.title, ranged(sa, f.digits), ranged(sb, f.digits), ratio)
			}
		}
	}
	return table.Flush()
}
