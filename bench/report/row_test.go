package report

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/bench/result"
	"funnel/internal/probe"
)

const ms1 = time.Millisecond

// flat is a series in which everything takes the same time.
func flat(trip time.Duration) []probe.Series {
	s := probe.Series{Rate: 100, Size: 64}
	for i := range 100 {
		at := time.Duration(i) * 10 * ms1
		s.Samples = append(s.Samples, probe.Sample{Intended: at, Sent: at + 1, Received: at + trip})
	}
	return []probe.Series{s}
}

func run(round int, raw string, quiet bool) result.Run {
	return result.Run{Scenario: "s", Round: round, Way: "direct UDP", System: "direct", Network: "udp", Raw: raw, Quiet: quiet}
}

var scenario = result.Scenario{Name: "s", Kind: "play", Floor: 40 * ms1, Order: []string{"direct UDP"}}

var samples = map[string][]probe.Series{"41": flat(41 * ms1), "43": flat(43 * ms1), "48": flat(48 * ms1), "400": flat(400 * ms1)}

// TestOnlyQuietRoundsCount: the loud one, and the one that failed, don't.
func TestOnlyQuietRoundsCount(t *testing.T) {
	failed := run(5, "400", true)
	failed.Error = "reset"
	r := &result.Result{Runs: []result.Run{run(1, "48", true), run(2, "41", true), run(3, "400", false), run(4, "43", true), failed}}
	all := rows(r, &scenario, samples)
	require.Len(t, all, 1)
	row := all[0]
	require.Equal(t, 5, row.Runs)
	require.Equal(t, 3, row.Counted)
	require.Equal(t, []string{"reset"}, row.Errors)
	require.Equal(t, Spread{Median: 43, Least: 41, Most: 48, Count: 3}, row.P50)
	require.Equal(t, 1.0, row.OnTime[0].Median)
	require.Equal(t, 0.0, row.OnTime[0].Least, "48 is more than 5 after 40")
	require.Equal(t, 300, row.Sent)
}

// TestNoneQuiet: then all count, and the table says so.
func TestNoneQuiet(t *testing.T) {
	r := &result.Result{Runs: []result.Run{run(1, "41", false), run(2, "43", false)}}
	s := &Scenario{scenario, rows(r, &scenario, samples)}
	require.Zero(t, s.Rows[0].Counted)
	require.Equal(t, 42.0, s.Rows[0].P50.Median)
	var text strings.Builder
	require.NoError(t, s.writeTable(&text))
	require.Contains(t, text.String(), "none quiet")
}

// TestNeverBackCounts: of three rounds, two without an echo after the cut.
func TestNeverBackCounts(t *testing.T) {
	r := new(result.Result)
	for i, recovery := range []time.Duration{-1, 300 * ms1, -1} {
		one := run(i+1, "41", true)
		one.Recovery = recovery
		r.Runs = append(r.Runs, one)
	}
	s := &Scenario{scenario, rows(r, &scenario, samples)}
	require.Equal(t, 3, s.Rows[0].Recovery.Count)
	var text strings.Builder
	require.NoError(t, s.writeTable(&text))
	require.Contains(t, text.String(), "never")
	r.Runs[0].Recovery = 500 * ms1
	require.Equal(t, "0.50", number(rows(r, &scenario, samples)[0].Recovery, 2))
}

func TestNines(t *testing.T) {
	require.InDelta(t, 1, nines(0.9), 1e-9)
	require.InDelta(t, 3, nines(0.999), 1e-9)
	require.Zero(t, nines(0))
}

// TestDistributionEndsAtTheLoss: half came back, so no line goes beyond 50 %.
func TestDistributionEndsAtTheLoss(t *testing.T) {
	half := flat(41 * ms1)
	for i := range 50 {
		half[0].Samples[2*i].Received = 0
	}
	row := Row{Sent: 100, All: half}
	points := distribution(row)
	require.InDelta(t, nines(0.5), points[len(points)-1].Y, 1e-9)
}

// TestPlotsOfLittle: what is lost or missing makes no plot fail.
func TestPlotsOfLittle(t *testing.T) {
	lost := probe.Series{Rate: 1, Size: 64, Samples: make([]probe.Sample, 3)}
	for _, all := range [][]probe.Series{nil, {{}}, {lost}, flat(ms1)} {
		s := &Scenario{scenario, []Row{{Way: "direct UDP", System: "direct", Network: "udp", All: all, Sent: 100}}}
		for _, p := range s.pictures() {
			require.NoError(t, p.save(t.TempDir()))
		}
	}
	require.Empty(t, (&Report{Result: &result.Result{}}).overview())
}
