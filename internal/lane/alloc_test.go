//go:build !race

// The race detector makes sync.Pool forget at random.

package lane

import (
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/flow"
	"funnel/internal/obs"
)

func TestLaneHotPathAllocatesNothing(t *testing.T) {
	var drops obs.Drops
	s := NewSet(&drops, 2)
	lanes := []*Lane{bareLane(0, &drops), bareLane(1, &drops)}
	for _, l := range lanes {
		s.Add(l)
	}
	var flows []*flow.Flow
	for id := range uint32(10) {
		flows = append(flows, newFlow(id))
	}
	payload := make([]byte, 200)
	round := func() {
		now := Now()
		for _, f := range flows {
			s.Send(f, payload, now)
		}
		for _, l := range lanes {
			l.gather(batchBytes)
		}
	}
	round()
	require.Zero(t, testing.AllocsPerRun(200, round))
}
