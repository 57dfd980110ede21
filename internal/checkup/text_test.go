package checkup

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"funnel/internal/probe"
)

// TestTextFitsATerminal: figures of a line that is slow and loses much stand
// apart, and nothing is wider than a terminal.
func TestTextFitsATerminal(t *testing.T) {
	summary := &probe.Summary{
		Sent: 1000, Received: 999, P50: 1234500 * time.Microsecond, P90: 2345600 * time.Microsecond, P99: 3456700 * time.Microsecond, Max: 4567800 * time.Microsecond,
	}
	m := Measured{Way: FunnelTCP, Summary: summary, Loss: 0.995, Segments: 200, Resent: 199, Overhead: -999 * msec, Ratio: 12.34}
	m.histogram = probe.Histogram(trips(1234*msec, 2345*msec, 3456*msec))
	m.Problem = "read tcp 198.51.100.7:54321->203.0.113.5:42017: read: connection reset by peer"
	plain := m
	plain.Way = PlainTCP
	r := &Result{
		Relay: "relay.a-long-name.example.org:2222", Address: "2001:db8:1234:5678:9abc:def0:1234:5678", Server: "SSH-2.0-funnel_relay_v1.0.0-123-gabcdef0",
		Profile: "tournament", Rate: 128, Size: 64, Duration: 90 * time.Second, Lanes: 16, Kernel: &Kernel{MinRTT: 123400 * time.Microsecond, SRTT: 234500 * time.Microsecond},
		Notes: []string{"the relay gives only one test port: this key may bind TCP ports 22000-22003, and all of them are taken at the moment"},
	}
	for _, load := range []Load{Quiet, Through} {
		blocked := Measured{Way: PlainUDP, Blocked: true, Problem: "no answer from 203.0.113.5:42017: no echo over UDP from 203.0.113.5:42017: nothing came back for 4s"}
		r.Conditions = append(r.Conditions, Condition{Load: load, Bulk: 123.4e6, Ways: []Measured{plain, blocked, m}})
	}
	r.Verdict = Judge(Findings{TCP: true, Up: Bottleneck{9e6, 168 * msec}, PlayUDP: -1})
	var text bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	for line := range strings.Lines(text.String()) {
		require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), width, line)
	}
	row := strings.Fields("1234.5 2345.6 3456.7 4567.8 99.5 % -999.0 12.34")
	require.Contains(t, strings.Join(strings.Fields(text.String()), " "), "TCP through the funnel "+strings.Join(row, " "))
	for _, part := range []string{r.Notes[0], plain.Problem, r.Verdict[0].Text} {
		require.Contains(t, strings.Join(strings.Fields(text.String()), " "), part)
	}
}

// TestWhatBrokeIsShown: a way of which nothing came back has lost everything, and
// one that broke off says so wherever its figures stand.
func TestWhatBrokeIsShown(t *testing.T) {
	broken := measured(PlainTCP, 20*msec, 40)
	broken.Problem = "connection reset by peer"
	r := &Result{Conditions: []Condition{{Load: Quiet, Ways: []Measured{broken, measured(PlainUDP, 0, 100)}}}}
	var text, page bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	require.NoError(t, r.WriteHTML(&page))
	for _, shown := range []string{text.String(), page.String()} {
		require.Contains(t, shown, "20.0")
		require.Contains(t, shown, broken.Problem)
		require.Contains(t, shown, "100.0 %")
	}
}
