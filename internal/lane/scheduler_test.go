package lane

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/flow"
	"funnel/internal/obs"
	"funnel/proto"
)

// desk is a scheduler and what it counts.
type desk struct {
	scheduler
	drops obs.Drops
}

func newDesk() *desk {
	d := &desk{}
	d.scheduler = newScheduler(0, &d.drops)
	return d
}

func (d *desk) send(f *flow.Flow, size int, at time.Duration) {
	d.push(newPacket(f, make([]byte, size), at))
}

// next gathers one frame of at most limit bytes.
func (d *desk) next(t *testing.T, limit int, oldest time.Duration) *records {
	t.Helper()
	return decode(t, d.gather(nil, limit, oldest))
}

func TestSchedulerSparseFlowGoesFirst(t *testing.T) {
	d := newDesk()
	flood, sparse := newFlow(1), newFlow(2)
	for range 100 {
		d.send(flood, 1200, 0)
	}
	require.Len(t, d.next(t, 12000, 0).flows(), 9)
	d.send(sparse, 100, 0)
	require.Equal(t, []uint32{2, 1}, d.next(t, 1400, 0).flows())
	// And so each time, as long as it waits for nothing in between.
	for range 5 {
		d.next(t, 12000, 0)
		d.send(sparse, 100, 0)
		require.EqualValues(t, 2, d.next(t, 1400, 0).flows()[0])
	}
}

// TestSchedulerFreshFlowsStarveNobody: one that is back as soon as it was
// served is sparse the first time only.
func TestSchedulerFreshFlowsStarveNobody(t *testing.T) {
	d := newDesk()
	steady, eager := newFlow(1), newFlow(2)
	for range 100 {
		d.send(steady, 1000, 0)
	}
	d.next(t, 1000, 0)
	served := make(map[uint32]int)
	for range 60 {
		d.send(eager, 1000, 0)
		for _, id := range d.next(t, 1000, 0).flows() {
			served[id]++
		}
	}
	require.InDelta(t, served[1], served[2], 4)
}

// TestSchedulerSharesByBytes: a flow of large datagrams gets no more than one
// of small ones.
func TestSchedulerSharesByBytes(t *testing.T) {
	d := newDesk()
	large, small := newFlow(1), newFlow(2)
	sent := make(map[uint32]int)
	for range 400 {
		for d.waiting[large] == nil || d.waiting[large].length < 20 {
			d.send(large, 1400, 0)
		}
		for d.waiting[small] == nil || d.waiting[small].length < 100 {
			d.send(small, 100, 0)
		}
		for _, g := range d.next(t, 3000, 0).datagrams {
			sent[g.flow] += proto.DatagramHeader + g.size
		}
	}
	require.InEpsilon(t, sent[1], sent[2], 0.02)
}

func TestSchedulerQueueDropsItsOldest(t *testing.T) {
	d := newDesk()
	f := newFlow(1)
	for range queueDatagrams + 10 {
		d.send(f, 10, 0)
	}
	require.EqualValues(t, 10, d.drops.Count(obs.DropQueueFull))
	got := d.next(t, batchBytes, 0)
	require.Len(t, got.datagrams, queueDatagrams)
	for i, g := range got.datagrams {
		require.EqualValues(t, 11+i, g.sequence)
	}
	require.Zero(t, d.bytes)
}

func TestSchedulerQueueIsBoundedInBytes(t *testing.T) {
	d := newDesk()
	f := newFlow(1)
	for range 10 {
		d.send(f, proto.MaxDatagram, 0)
	}
	require.LessOrEqual(t, d.bytes, queueBytes)
	require.Equal(t, 4, d.waiting[f].length)
	require.EqualValues(t, 10-d.waiting[f].length, d.drops.Count(obs.DropQueueFull))
}

// TestSchedulerFullLaneLetsSparseFlowsIn: who sends much gives way.
func TestSchedulerFullLaneLetsSparseFlowsIn(t *testing.T) {
	d := newDesk()
	id := uint32(1)
	for d.bytes+queueBytes < laneBytes+queueBytes/2 {
		id++
		f := newFlow(id)
		for range 60 {
			d.send(f, 2000, 0)
		}
	}
	require.LessOrEqual(t, d.bytes, laneBytes)
	before := d.drops.Count(obs.DropLaneFull)
	sparse := newFlow(1)
	for d.bytes+2200 <= laneBytes {
		d.send(newFlow(id+1), 2000, 0)
	}
	d.send(sparse, 2000, 0)
	require.NotNil(t, d.waiting[sparse])
	require.Equal(t, 1, d.waiting[sparse].length)
	require.Greater(t, d.drops.Count(obs.DropLaneFull), before)
	require.LessOrEqual(t, d.bytes, laneBytes)
}

// TestSchedulerFullOfSmallFlowsStaysBounded: where nobody has much waiting, too.
func TestSchedulerFullOfSmallFlowsStaysBounded(t *testing.T) {
	d := newDesk()
	const flows = 6000
	for id := range uint32(flows) {
		d.send(newFlow(id), 1000, 0)
	}
	require.LessOrEqual(t, d.bytes, laneBytes)
	queued := 0
	for len(d.waiting) > 0 {
		queued += len(d.next(t, batchBytes, 0).datagrams)
	}
	require.EqualValues(t, flows-queued, d.drops.Count(obs.DropLaneFull))
	require.Zero(t, d.bytes)
	require.True(t, d.empty())
}

func TestSchedulerDropsWhatIsTooOld(t *testing.T) {
	d := newDesk()
	f, g := newFlow(1), newFlow(2)
	d.send(f, 10, 1*time.Second)
	d.send(f, 10, 2*time.Second)
	d.send(g, 10, 1*time.Second)
	got := d.next(t, batchBytes, 2*time.Second)
	require.Equal(t, []datagram{{1, 2, 10}}, got.datagrams)
	require.EqualValues(t, 2, d.drops.Count(obs.DropStale))
	require.True(t, d.empty())
	require.Empty(t, d.waiting)
}

func TestSchedulerLargeDatagramGoesAlone(t *testing.T) {
	d := newDesk()
	f := newFlow(1)
	d.send(f, 100, 0)
	d.send(f, proto.MaxDatagram, 0)
	d.send(f, 100, 0)
	require.Len(t, d.next(t, batchBytes, 0).datagrams, 1)
	require.Equal(t, []datagram{{1, 2, proto.MaxDatagram}}, d.next(t, batchBytes, 0).datagrams)
	require.Len(t, d.next(t, batchBytes, 0).datagrams, 1)
}

func TestSchedulerKeepsWithinTheLimit(t *testing.T) {
	d := newDesk()
	for id := range uint32(100) {
		for range 10 {
			d.send(newFlow(id), 300, 0)
		}
	}
	for !d.empty() {
		b := d.gather(nil, 5000, 0)
		require.LessOrEqual(t, len(b), 5000)
	}
}

func TestSchedulerAnnouncesAFlowOnce(t *testing.T) {
	d := newDesk()
	f := newFlow(9)
	d.send(f, 10, 0)
	d.send(f, 10, 0)
	got := d.next(t, batchBytes, 0)
	require.Equal(t, []uint32{9}, got.headers)
	d.send(f, 10, 0)
	require.Empty(t, d.next(t, batchBytes, 0).headers)
}

// TestSchedulerKeepsTheHeaderOfADroppedDatagram: a datagram that is dropped before
// its turn must not take the flow's header with it.
func TestSchedulerKeepsTheHeaderOfADroppedDatagram(t *testing.T) {
	d := newDesk()
	f := newFlow(9)
	d.send(f, 10, 0)
	require.Empty(t, d.next(t, batchBytes, 1).datagrams)
	d.send(f, 10, 1)
	require.Equal(t, []uint32{9}, d.next(t, batchBytes, 1).headers)
}

func TestSchedulerClearCountsAll(t *testing.T) {
	d := newDesk()
	for id := range uint32(5) {
		f := newFlow(id)
		d.send(f, 10, 0)
		d.send(f, 10, 0)
	}
	d.next(t, 200, 0) // some are fresh and some are not
	left := 0
	for _, q := range d.waiting {
		left += q.length
	}
	require.Positive(t, left)
	d.clear(obs.DropLaneLost)
	require.EqualValues(t, left, d.drops.Count(obs.DropLaneLost))
	require.True(t, d.empty())
	require.Zero(t, d.bytes)
	require.Empty(t, d.waiting)
}

// TestSchedulerKeepsFewSpares: a flood of flows must not leave its memory
// behind.
func TestSchedulerKeepsFewSpares(t *testing.T) {
	d := newDesk()
	for id := range uint32(1000) {
		for range 20 {
			d.send(newFlow(id), 1, 0)
		}
	}
	for !d.empty() {
		d.gather(nil, batchBytes, 0)
	}
	require.LessOrEqual(t, d.spares, maxSpares)
	kept := 0
	for q := d.spare; q != nil; q = q.next {
		require.LessOrEqual(t, len(q.ring), queueStart)
		require.Nil(t, q.flow)
		kept++
	}
	require.Equal(t, d.spares, kept)
}

func TestPacketIsGivenBackByTheLast(t *testing.T) {
	p := newPacket(newFlow(1), []byte("x"), 0)
	p.retain()
	p.release()
	require.NotNil(t, p.flow)
	p.release()
	require.Nil(t, p.flow)
}
