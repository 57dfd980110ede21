package lab

import (
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/bench/system"
	"funnel/internal/probe"
)

// TestScenarios: every entry of the table makes sense.
func TestScenarios(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range Scenarios {
		require.Falsef(t, seen[s.Name], "%s is there twice", s.Name)
		seen[s.Name] = true
		require.NotEmpty(t, s.What, s.Name)
		require.NoError(t, s.PlayerLink.Validate(), s.Name)
		require.NoError(t, s.HomeLink.Validate(), s.Name)
		require.Equal(t, s.Kind == Bulk, s.Kind != Play && s.Beside != 0, s.Name)
		require.True(t, s.Loopback || s.PlayerLink.Delay > 0, s.Name)
		if s.Cut > 0 {
			require.Greaterf(t, s.Least, s.Cut+s.Least/5, "%s: the cut must end before the turn", s.Name)
		}
	}
	require.NotEmpty(t, Quick())
}

func TestFind(t *testing.T) {
	found, err := Find([]string{"loss-*", "clean"})
	require.NoError(t, err)
	var names []string
	for _, s := range found {
		names = append(names, s.Name)
	}
	require.Equal(t, []string{"clean", "loss-1", "loss-3"}, names)
	_, err = Find([]string{"los"})
	require.ErrorContains(t, err, `no scenario "los"`)
}

// TestWays: a variant of UDP is no variant of TCP, many flows are UDP, and a
// busy line has a control without the bulk.
func TestWays(t *testing.T) {
	variant := &system.System{Name: "funnel-x", UDP: true, TCP: true, Variant: true}
	mine := &system.System{Name: "mine", TCP: true}
	o := &Options{
		Systems:   []*system.System{system.Direct(), system.Forwarder(), system.OpenSSH("ssh", "", ""), variant, mine},
		Described: []string{"mine"},
	}
	names := func(s Scenario) (names []string) {
		for _, w := range o.ways(&s) {
			names = append(names, w.name())
		}
		return names
	}
	require.Equal(t, []string{"direct UDP", "direct TCP", "ssh TCP", "funnel-x UDP", "mine TCP"}, names(Scenario{Kind: Play}))
	require.Equal(t, []string{"direct UDP alone", "direct UDP", "direct TCP", "ssh TCP", "funnel-x UDP", "mine TCP"}, names(Scenario{Kind: Play, Beside: probe.Download}))
	require.Equal(t, []string{"direct UDP", "funnel-x UDP"}, names(Scenario{Kind: Play, Flows: 64}))
	require.Equal(t, []string{"direct UDP", "forwarder UDP"}, names(Scenario{Kind: Flood, Systems: []string{"direct", "forwarder", "ssh"}}))
	require.Equal(t, []string{"ssh TCP", "funnel-x UDP"}, names(Scenario{Kind: Idle, Systems: []string{"ssh", "funnel*"}}))
}

// TestQuiet by issue 3's criterion: of 1,000 that arrived, two may be late; what
// is lost says nothing of the machine.
func TestQuiet(t *testing.T) {
	s := func(sent, received, onTime int) probe.Summary {
		var summary probe.Summary
		summary.Sent, summary.Received = sent, received
		summary.OnTime[1] = float64(onTime) / float64(sent)
		return summary
	}
	require.True(t, isQuiet(s(1000, 1000, 998)))
	require.False(t, isQuiet(s(1000, 1000, 997)))
	require.True(t, isQuiet(s(2000, 1000, 998)))
	require.False(t, isQuiet(s(1000, 0, 0)))
}

func TestChoose(t *testing.T) {
	all := []*system.System{system.Direct(), system.Forwarder(), system.OpenSSH("ssh", "", "")}
	chosen, err := Choose(all, []string{"s*"})
	require.NoError(t, err)
	require.Len(t, chosen, 2)
	require.Equal(t, "direct", chosen[0].Name)
	_, err = Choose(all, []string{"telnet"})
	require.ErrorContains(t, err, "telnet")
}
