package flow

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/proto"
)

var header = proto.FlowHeader{Flow: 7, Forward: 1, Client: netip.MustParseAddrPort("203.0.113.9:50000")}

func TestFlowAnnouncesItselfOnceOnEachLane(t *testing.T) {
	f := New(header, true)
	record := proto.AppendFlow(nil, header)
	for _, slot := range []int{0, 3, 63} {
		require.Equal(t, record, f.Header(slot))
		require.Nil(t, f.Header(slot))
	}
	f.Forget(3)
	require.Nil(t, f.Header(0))
	require.Equal(t, record, f.Header(3))
	require.Nil(t, f.Header(3))
}

func TestFlowOfTheAgentAnnouncesNothing(t *testing.T) {
	require.Nil(t, New(header, false).Header(0))
}

// TestFlowAnnouncesItselfOnceHoweverManyAsk: two writers of one slot are never
// at work at once, but writers of different slots are.
func TestFlowAnnouncesItselfOnceHoweverManyAsk(t *testing.T) {
	f := New(header, true)
	var given [16]atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for slot := range given {
				if f.Header(slot) != nil {
					given[slot].Add(1)
				}
			}
		})
	}
	wait.Wait()
	for slot := range given {
		require.EqualValues(t, 1, given[slot].Load(), "slot %d", slot)
	}
}

func TestFlowNumbersFromOneAndWraps(t *testing.T) {
	f := New(header, false)
	require.EqualValues(t, 1, f.Next())
	require.EqualValues(t, 2, f.Next())
	f.sent = 1<<32 - 1
	require.EqualValues(t, 0, f.Next(), "as SPEC.md 7.1 says")
	require.EqualValues(t, 1, f.Next())
}

// TestFlowDeliversEachNumberOnce: all copies come at once, on as many lanes.
func TestFlowDeliversEachNumberOnce(t *testing.T) {
	f := New(header, false)
	const numbers = 1000
	var delivered atomic.Int32
	var wait sync.WaitGroup
	for range 3 {
		wait.Go(func() {
			for n := range uint32(numbers) {
				if f.First(n) {
					delivered.Add(1)
				}
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, numbers, delivered.Load())
}

func TestFlowHotPathAllocatesNothing(t *testing.T) {
	f := New(header, true)
	table := NewTable[*Flow](10, time.Second)
	e, _ := table.Add(f.ID, f, 0)
	now := time.Duration(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		now += time.Second
		table.Touch(table.Get(e.ID), now)
		f.Header(1)
		f.First(f.Next())
	}))
}
