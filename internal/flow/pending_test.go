package flow

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPendingFlowsGiveWayFirst(t *testing.T) {
	table := NewTable[string](3, time.Minute)
	live, _ := table.Add(1, "live", 0)
	forged, _ := table.AddPending(2, "forged", time.Second)
	player, _ := table.AddPending(3, "player", 2*time.Second)
	require.True(t, forged.Pending())
	table.Establish(player, 3*time.Second)
	require.False(t, player.Pending())
	table.Establish(player, 3*time.Second) // once is enough

	_, evicted := table.AddPending(4, "forged too", 4*time.Second)
	require.Same(t, forged, evicted, "the longest idle of all is established")
	_, evicted = table.Add(5, "another", 5*time.Second)
	require.EqualValues(t, 4, evicted.ID)
	table.Establish(evicted, 5*time.Second) // it is out
	require.Equal(t, 3, table.Len())

	added, evicted := table.AddPending(6, "forged", 6*time.Second)
	require.Nil(t, added, "all who are there are live")
	require.Nil(t, evicted)
	_, evicted = table.AddPending(6, "newcomer", PendingIdle+2*time.Second)
	require.Same(t, live, evicted, "it has been silent for longer than a pending one may be")
}

func TestPendingFlowsEndSooner(t *testing.T) {
	table := NewTable[string](10, time.Minute)
	table.Add(1, "established", 0)
	table.AddPending(2, "pending", 0)
	talking, _ := table.AddPending(3, "pending, in use", 0)
	require.True(t, table.Touch(talking, 10*time.Second))
	require.Nil(t, table.Expired(PendingIdle))
	require.EqualValues(t, 2, table.Expired(PendingIdle+time.Second).ID)
	require.Nil(t, table.Expired(PendingIdle+time.Second))
	require.EqualValues(t, 3, table.Expired(PendingIdle+11*time.Second).ID)
	require.EqualValues(t, 1, table.Expired(2*time.Minute).ID)
	var left []uint32
	table.All(func(e *Entry[string]) { left = append(left, e.ID) })
	require.Empty(t, left)
}

// A pending flow never lives longer than an established one.
func TestPendingIdleIsAtMostTheIdleTime(t *testing.T) {
	table := NewTable[string](10, 8*time.Second)
	table.AddPending(1, "", 0)
	require.NotNil(t, table.Expired(9*time.Second))
}
