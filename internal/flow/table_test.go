package flow

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const idle = 8 * time.Second // a grain of one second

// ids lists a table's flows, the longest idle first.
func ids(table *Table[string]) []uint32 {
	var list []uint32
	table.All(func(e *Entry[string]) { list = append(list, e.ID) })
	return list
}

func TestTableEvictsTheLongestIdle(t *testing.T) {
	table := NewTable[string](3, idle)
	first, evicted := table.Add(1, "a", 0)
	require.Nil(t, evicted)
	table.Add(2, "b", time.Second)
	table.Add(3, "c", 2*time.Second)
	require.True(t, table.Touch(first, 3*time.Second))
	require.Equal(t, []uint32{2, 3, 1}, ids(table))

	_, evicted = table.Add(4, "d", 4*time.Second)
	require.Equal(t, "b", evicted.Value)
	require.Equal(t, 3, table.Len())
	require.Nil(t, table.Get(2))
	require.Equal(t, []uint32{3, 1, 4}, ids(table))
	require.False(t, table.Touch(evicted, 5*time.Second), "it is no longer there")
	table.Remove(evicted)
	require.Equal(t, 3, table.Len())
}

func TestTableTouchMovesOnceAGrain(t *testing.T) {
	table := NewTable[string](3, idle)
	first, _ := table.Add(1, "a", 0)
	table.Add(2, "b", 0)
	require.True(t, table.Touch(first, time.Second-1))
	require.Equal(t, []uint32{1, 2}, ids(table))
	require.True(t, table.Touch(first, time.Second))
	require.Equal(t, []uint32{2, 1}, ids(table))
	require.True(t, table.Touch(first, 0), "a time a little older is no harm")
	require.Equal(t, []uint32{2, 1}, ids(table))
}

func TestTableExpiresNeverEarlyAndAGrainLateAtMost(t *testing.T) {
	table := NewTable[string](3, idle)
	e, _ := table.Add(1, "a", 0)
	// The touch that the grain swallows.
	table.Touch(e, time.Second-1)
	require.Nil(t, table.Expired(time.Second-1+idle))
	require.Equal(t, e, table.Expired(time.Second+idle))
	require.Nil(t, table.Expired(time.Hour))
	require.Zero(t, table.Len())
}

func TestTableGrainIsBounded(t *testing.T) {
	table := NewTable[string](1, time.Hour)
	e, _ := table.Add(1, "a", 0)
	table.Touch(e, maxGrain)
	require.Nil(t, table.Expired(time.Hour+maxGrain))
	require.NotNil(t, table.Expired(time.Hour+2*maxGrain))
}

func TestTableAllMayRemove(t *testing.T) {
	table := NewTable[string](3, idle)
	for id := range uint32(3) {
		table.Add(id, "", 0)
	}
	table.All(func(e *Entry[string]) {
		if e.ID != 1 {
			table.Remove(e)
		}
	})
	require.Equal(t, []uint32{1}, ids(table))
	table.All(table.Remove)
	require.Empty(t, ids(table))
	table.Add(7, "", 0)
	require.Equal(t, []uint32{7}, ids(table))
}

// TestTableStaysWhole does at random what a session does and checks, against
// the times kept beside it, what must always hold.
func TestTableStaysWhole(t *testing.T) {
	const most = 20
	random := rand.New(rand.NewPCG(3, 4))
	table := NewTable[string](most, idle)
	used := make(map[uint32]time.Duration)
	now, next := time.Duration(0), uint32(0)
	for range 20000 {
		now += time.Duration(random.Int64N(int64(200 * time.Millisecond)))
		switch random.IntN(10) {
		case 0, 1:
			next++
			_, evicted := table.Add(next, "", now)
			require.Equal(t, len(used) == most, evicted != nil)
			if evicted != nil {
				for id, at := range used {
					require.GreaterOrEqual(t, at+time.Second, used[evicted.ID], "flow %d was idle longer than %d", id, evicted.ID)
				}
				delete(used, evicted.ID)
			}
			used[next] = now
		case 2:
			if e := table.Expired(now); e != nil {
				require.GreaterOrEqual(t, now-used[e.ID], idle)
				delete(used, e.ID)
			} else {
				for id, at := range used {
					require.Less(t, now-at, idle+time.Second, "flow %d", id)
				}
			}
		default:
			id := next - random.Uint32N(most)
			if e := table.Get(id); e != nil {
				require.True(t, table.Touch(e, now))
				used[id] = now
			}
		}
		require.Equal(t, len(used), table.Len())
		require.Len(t, ids(table), len(used))
	}
}

func BenchmarkTableTouch(b *testing.B) {
	b.ReportAllocs()
	table := NewTable[string](1<<16, idle)
	for id := range uint32(20000) {
		table.Add(id, "", 0)
	}
	for i := range b.N {
		table.Touch(table.Get(uint32(i)%20000), time.Duration(i)*time.Microsecond)
	}
}
