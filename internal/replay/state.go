package replay

import (
	"time"

	"funnel/internal/obs"
)

// State is how a Group fares at a moment.
type State struct {
	Lanes []LaneState // those that are up
	Want  int         // lanes to be kept up
	Flows int
	Drops obs.DropCounts // since the beginning
}

// LaneState is how a lane fares.
type LaneState struct {
	Slot  int           // 0 to Want-1
	Since time.Time     // it is up
	RTT   time.Duration // 0 if it isn't known
}

// State is how the group fares now.
func (g *Group) State() State {
	g.mu.Lock()
	state := State{Want: len(g.slots), Flows: g.flows.Len(), Drops: g.drops.Snapshot()}
	var up []*attachment
	for _, a := range g.slots {
		if a != nil {
			up = append(up, a)
		}
	}
	g.mu.Unlock()
	for _, a := range up {
		one := LaneState{Slot: a.slot, Since: a.since}
		if a.dialed.RTT != nil {
			one.RTT = a.dialed.RTT()
		}
		state.Lanes = append(state.Lanes, one)
	}
	return state
}
