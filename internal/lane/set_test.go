package lane

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/obs"
	"funnel/proto"
)

func TestSetIsSortedBySlot(t *testing.T) {
	var drops obs.Drops
	s := NewSet(&drops, 0)
	for _, slot := range []int{3, 0, 2, 1} {
		s.Add(bareLane(slot, &drops))
	}
	for i, l := range s.Lanes() {
		require.Equal(t, i, l.Slot())
	}
	require.Equal(t, 3, s.Remove(s.Lanes()[1]))
	require.Equal(t, 3, s.Remove(bareLane(2, &drops)), "another lane of that slot is another lane")
	require.Equal(t, 2, s.Lanes()[1].Slot())
}

func TestSetWithoutLanesDrops(t *testing.T) {
	var drops obs.Drops
	s := NewSet(&drops, 0)
	s.Send(newFlow(1), []byte("x"), Now())
	s.SendRecord(proto.AppendGone(nil, 1, proto.GoneIdle))
	s.Flush()
	require.EqualValues(t, 1, drops.Count(obs.DropNoLane))
}

// TestSetLanesComeAndGo: who sends meanwhile is neither stopped nor harmed.
func TestSetLanesComeAndGo(t *testing.T) {
	var drops obs.Drops
	s := NewSet(&drops, 1)
	p := newPeer(t)
	stay := pipeLane(t, 0, &drops, p)
	run(t, stay)
	s.Add(stay)
	const flows = 4
	var senders sync.WaitGroup
	done := make(chan struct{})
	sent := make([]uint32, flows)
	for id := range uint32(flows) {
		senders.Go(func() {
			f := newFlow(id)
			for stop := false; !stop; sent[id]++ {
				select {
				case <-done:
					stop = true // after one more, over the lane that is left
				default:
				}
				s.Send(f, make([]byte, 50), Now())
				s.Flush()
			}
		})
	}
	for range 30 {
		l := pipeLane(t, 1, &drops, newPeer(t))
		stop := run(t, l)
		s.Add(l)
		s.Flush()
		require.Equal(t, 1, s.Remove(l))
		require.NoError(t, stop())
		require.True(t, l.idle(), "its end left nothing waiting")
	}
	close(done)
	senders.Wait()
	p.await(t, func(got *records) bool {
		last := 0
		for _, d := range got.datagrams {
			if d.sequence == sent[d.flow] {
				last++
			}
		}
		return last == flows
	})
}

func TestSetCountsWhatItSent(t *testing.T) {
	var drops obs.Drops
	s := NewSet(&drops, 2)
	for slot := range 3 {
		l := pipeLane(t, slot, &drops, newPeer(t))
		run(t, l)
		s.Add(l)
	}
	f := newFlow(1)
	for range 10 {
		s.Send(f, []byte("x"), Now())
		s.Flush()
	}
	require.Equal(t, Counts{Datagrams: 10, Copies: 10}, s.Counts())
	require.Equal(t, "[datagrams=10 copies=10]", s.Counts().LogValue().String())
}
