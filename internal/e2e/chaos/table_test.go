//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// figures is the one table of all that was measured.
var figures table

// table is figures in the order in which they came.
type table struct {
	mu   sync.Mutex
	rows [][]string // guarded by mu: item, what, bound, value
}

// add puts a figure into the table and the test's log. The item is the number
// of what it belongs to among the things that are promised.
func (f *table) add(t testing.TB, item int, what, value string) {
	t.Helper()
	f.row(t, item, what, value, "")
}

func (f *table) row(t testing.TB, item int, what, value, bound string) {
	t.Helper()
	text := fmt.Sprintf("%d. %s: %s", item, what, value)
	if bound != "" {
		text += "; promised: " + bound
	}
	t.Log(text)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows = append(f.rows, []string{fmt.Sprint(item), what, bound, value})
}

// times adds what several tries took. In the full form the median and the
// longest must be within what is promised; 0 promises nothing.
func (f *table) times(t testing.TB, item int, what string, took []time.Duration, median, most time.Duration) {
	t.Helper()
	if len(took) == 0 {
		f.row(t, item, what, "not measured", "")
		return
	}
	sorted := slices.Sorted(slices.Values(took))
	middle, last := sorted[len(sorted)/2], sorted[len(sorted)-1]
	value := seconds(last)
	if len(took) > 1 {
		value = fmt.Sprintf("median %s, worst %s of %d", seconds(middle), seconds(last), len(took))
	}
	var bounds []string
	broken := false
	for _, b := range []struct {
		name       string
		got, bound time.Duration
	}{{"median", middle, median}, {"worst", last, most}} {
		if b.bound > 0 {
			bounds = append(bounds, b.name+" "+seconds(b.bound))
			broken = broken || b.got > b.bound
		}
	}
	bound := strings.Join(bounds, ", ")
	if broken {
		value += " (missed)"
	}
	f.row(t, item, what, value, bound)
	if broken && full {
		t.Errorf("%s: %s, promised is %s", what, value, bound)
	}
}

// String is the table as it is printed.
func (f *table) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows := slices.Clone(f.rows)
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	for _, row := range append([][]string{{"item", "figure", "promised", "measured"}}, rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	return b.String()
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
