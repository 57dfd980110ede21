package lane

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/flow"
	"funnel/internal/obs"
	"funnel/proto"
)

// TestTheLastOfThreeCopiesLeavesLater by the time that an outage may last, on a
// lane that doesn't have the datagram.
func TestTheLastOfThreeCopiesLeavesLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var drops obs.Drops
		s := NewSet(&drops, 3)
		var lanes []*Lane
		for slot := range 4 {
			l := &Lane{config: Config{Slot: slot, Drops: &drops}, scheduler: newScheduler(slot, &drops), writing: true}
			lanes = append(lanes, l)
			s.Add(l)
		}
		held := func() (n int) {
			for _, l := range lanes {
				l.mu.Lock()
				if !l.scheduler.empty() {
					n++
				}
				l.mu.Unlock()
			}
			return n
		}
		s.Send(flow.New(proto.FlowHeader{Flow: 1}, false), []byte("x"), Now())
		require.Equal(t, 2, held())
		time.Sleep(lateDelay)
		synctest.Wait()
		require.Equal(t, 3, held(), "on a third lane")

		// Without a lane for it, it is dropped and gives its memory back.
		s.Send(flow.New(proto.FlowHeader{Flow: 2}, false), []byte("y"), Now())
		for _, l := range lanes {
			s.Remove(l)
		}
		time.Sleep(lateDelay)
		synctest.Wait()
		s.late.mu.Lock()
		defer s.late.mu.Unlock()
		require.Empty(t, s.late.queue)
	})
}
