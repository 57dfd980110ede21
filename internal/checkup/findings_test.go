package checkup

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/probe"
)

// measured is a way whose median is p50 and that lost so many of 100.
func measured(way Way, p50 time.Duration, lost int) Measured {
	s := &probe.Summary{Sent: 100, Received: 100 - lost, P50: p50}
	return Measured{Way: way, Summary: s, Loss: s.Loss()}
}

func blocked(way Way) Measured { return Measured{Way: way, Blocked: true, Problem: "no answer"} }

const msec = time.Millisecond

func TestFindings(t *testing.T) {
	r := &Result{
		Lanes: 4, BulkRate: 1,
		Conditions: []Condition{
			{Load: Quiet, Ways: []Measured{measured(PlainTCP, 21*msec, 0), measured(PlainUDP, 20*msec, 10), measured(FunnelTCP, 42*msec, 0), measured(FunnelUDP, 44*msec, 19)}},
			{Load: Upload, Bulk: 9e6, Ways: []Measured{measured(PlainTCP, 190*msec, 0), measured(PlainUDP, 200*msec, 5), measured(FunnelTCP, 400*msec, 0), measured(FunnelUDP, 390*msec, 0)}},
			{Load: Download, Bulk: 50e6, Ways: []Measured{measured(PlainUDP, 19*msec, 0)}},
			{Load: Through, Bulk: 8e6, Ways: []Measured{measured(PlainUDP, 30*msec, 0), measured(FunnelTCP, 142*msec, 0), measured(FunnelUDP, 60*msec, 0)}},
		},
	}
	r.Conditions[0].compare()
	f := r.findings(false)
	require.InDelta(t, 0.1, f.FunnelLoss, 1e-9, "0.81 of all came back, of which the plain half let 0.9 through")
	f.FunnelLoss = 0
	require.Equal(t, Findings{
		TCP: true, UDP: true, RTT: 20 * msec, Lost: 10, Loss: f.Loss, Overhead: 4 * msec, OverheadRatio: 1.1,
		Up: Bottleneck{9e6, 180 * msec}, Down: Bottleneck{50e6, 0}, Through: Bottleneck{8e6, 10 * msec},
		PlayUDP: 16 * msec, PlayTCP: 100 * msec, Lanes: 4, BulkRate: true,
	}, f)
	require.InDelta(t, 0.1, f.Loss, 1e-9)
}

func TestFindingsWithoutUDP(t *testing.T) {
	tcp := measured(PlainTCP, 21*msec, 0)
	tcp.Segments, tcp.Resent = 200, 8
	r := &Result{
		Kernel: &Kernel{MinRTT: 19 * msec},
		Conditions: []Condition{
			{Load: Quiet, Ways: []Measured{tcp, blocked(PlainUDP), measured(FunnelTCP, 50*msec, 0), blocked(FunnelUDP)}},
			{Load: Through, Bulk: 8e6, Ways: []Measured{measured(PlainTCP, 121*msec, 0), measured(FunnelTCP, 300*msec, 0)}},
		},
	}
	r.Conditions[0].compare()
	f := r.findings(false)
	require.True(t, f.TCP)
	require.False(t, f.UDP)
	require.True(t, f.UDPBlocked)
	require.False(t, f.TCPBlocked)
	require.Equal(t, 8, f.Lost)
	require.InDelta(t, 0.04, f.Loss, 1e-9)
	require.True(t, f.LossThere)
	require.Equal(t, 21*msec, f.RTT)
	require.Equal(t, 8*msec, f.Overhead)
	require.Equal(t, Bottleneck{8e6, 100 * msec}, f.Up, "the transfer through the funnel fills the uplink as well")
	require.Negative(t, f.PlayUDP)
	require.Negative(t, f.FunnelLoss)
}

// TestFindingsOfTheFunnelAlone: without test ports, and where the kernel doesn't
// tell, the way through the funnel still says how far the relay is away.
func TestFindingsOfTheFunnelAlone(t *testing.T) {
	r := &Result{Conditions: []Condition{{Load: Quiet, Ways: []Measured{{Way: PlainTCP}, {Way: PlainUDP}, measured(FunnelTCP, 164*msec, 0), measured(FunnelUDP, 160*msec, 0)}}}}
	f := r.findings(false)
	require.Equal(t, 80*msec, f.RTT)
	require.Equal(t, Far, Judge(f)[0].Fault)
}

func TestFindingsOfNothing(t *testing.T) {
	r := &Result{Kernel: &Kernel{MinRTT: 19 * msec}, Conditions: []Condition{{Load: Quiet, Ways: []Measured{blocked(PlainTCP), {Way: PlainUDP}, blocked(FunnelTCP), {Way: FunnelUDP}}}}}
	f := r.findings(true)
	require.Equal(t, Findings{TCPBlocked: true, NoUDP: true, RTT: 19 * msec, FunnelLoss: -1, PlayUDP: -1, PlayTCP: -1}, f)
	require.Equal(t, Unreachable, Judge(f)[0].Fault)
	require.Equal(t, Refused, Judge((&Result{}).findings(false))[0].Fault)
}
