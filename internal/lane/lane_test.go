package lane

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/mux"
	"funnel/internal/obs"
	"funnel/proto"
)

// kinds are the lanes that the tests of writing run on.
var kinds = map[string]func(testing.TB, int, *obs.Drops, *peer) *Lane{"inline": tcpLane, "run": pipeLane}

func TestLaneCarriesDatagramsInOrder(t *testing.T) {
	for name, lane := range kinds {
		t.Run(name, func(t *testing.T) {
			var drops obs.Drops
			p := newPeer(t)
			l := lane(t, 3, &drops, p)
			run(t, l)
			s := NewSet(&drops, 1)
			s.Add(l)
			f := newFlow(1)
			sizes := []int{0, 1, 1472, mux.MaxFrame, 40000, proto.MaxDatagram, 5}
			var want []datagram
			for i, size := range sizes {
				s.Send(f, make([]byte, size), Now())
				s.Flush()
				want = append(want, datagram{1, uint32(i + 1), size})
				p.await(t, func(got *records) bool { return len(got.datagrams) > i })
			}
			require.Equal(t, want, p.got.datagrams)
			require.Equal(t, []uint32{1}, p.got.headers)
			require.Zero(t, drops.Snapshot())
		})
	}
}

// TestLaneNobodyIsForgotten: whoever pushes while another has the writer's role
// counts on that one. Every datagram arrives or is counted as dropped, and in
// its flow's order.
func TestLaneNobodyIsForgotten(t *testing.T) {
	const flows, each = 8, 2000
	for name, lane := range kinds {
		t.Run(name, func(t *testing.T) {
			var drops obs.Drops
			p := newPeer(t)
			l := lane(t, 0, &drops, p)
			run(t, l)
			s := NewSet(&drops, 1)
			s.Add(l)
			var wait sync.WaitGroup
			for id := range uint32(flows) {
				wait.Go(func() {
					f := newFlow(id)
					payload := make([]byte, 100)
					for range each {
						s.Send(f, payload, Now())
						s.Flush()
					}
				})
			}
			wait.Go(func() {
				for range 100 {
					l.Answer(proto.AppendGone(nil, 99, proto.GoneUnknown))
				}
			})
			wait.Wait()
			p.await(t, func(got *records) bool {
				return uint64(len(got.datagrams))+drops.Count(obs.DropQueueFull) == flows*each && len(got.gone) == 100
			})
			last := make(map[uint32]uint32)
			for _, d := range p.got.datagrams {
				require.Greater(t, d.sequence, last[d.flow])
				last[d.flow] = d.sequence
			}
			require.Len(t, p.got.headers, flows)
		})
	}
}

// TestLaneLastPushIsWritten is the hand-over of the role alone: one datagram at
// a time, with nothing behind it that would wake the writer again.
func TestLaneLastPushIsWritten(t *testing.T) {
	var drops obs.Drops
	p := newPeer(t)
	l := pipeLane(t, 0, &drops, p)
	run(t, l)
	f := newFlow(1)
	for i := range 500 {
		l.push(newPacket(f, []byte("x"), Now()))
		l.Flush()
		p.await(t, func(got *records) bool { return len(got.datagrams) == i+1 })
	}
}

func TestLaneRecordsGoFirst(t *testing.T) {
	l := bareLane(0, &obs.Drops{})
	l.push(newPacket(newFlow(1), []byte("x"), Now()))
	l.pushRecord(proto.AppendGone(nil, 5, proto.GoneIdle))
	l.gather(batchBytes)
	b := l.batch[mux.FrameSpace:]
	require.Equal(t, proto.AppendGone(nil, 5, proto.GoneIdle), b[:10])
	got := decode(t, b)
	require.Len(t, got.datagrams, 1)
	require.True(t, l.idle())
}

func TestLaneRecordsAreBounded(t *testing.T) {
	l := bareLane(0, &obs.Drops{})
	record := proto.AppendGone(nil, 5, proto.GoneIdle)
	for range 2 * urgentBytes / len(record) {
		l.pushRecord(record)
	}
	require.LessOrEqual(t, len(l.urgent), urgentBytes)
	l.gather(batchBytes)
	require.Len(t, decode(t, l.batch[mux.FrameSpace:]).gone, urgentBytes/len(record), "whole ones only")
}

func TestLaneSplitsABatchLargerThanAFrame(t *testing.T) {
	var drops obs.Drops
	p := newPeer(t)
	l := pipeLane(t, 0, &drops, p)
	record := proto.AppendGone(nil, 5, proto.GoneIdle)
	n := urgentBytes / len(record)
	for range n {
		l.pushRecord(record)
	}
	run(t, l)
	l.Flush()
	p.await(t, func(got *records) bool { return len(got.gone) == n })
}

func TestLaneDropsWhatIsTooOld(t *testing.T) {
	var drops obs.Drops
	p := newPeer(t)
	l := pipeLane(t, 0, &drops, p)
	run(t, l)
	f := newFlow(1)
	l.push(newPacket(f, []byte("old"), Now()-2*time.Hour))
	l.push(newPacket(f, []byte("new"), Now()))
	l.Flush()
	p.await(t, func(got *records) bool { return len(got.datagrams) == 1 })
	require.EqualValues(t, 2, p.got.datagrams[0].sequence)
	require.EqualValues(t, 1, drops.Count(obs.DropStale))
	// All of it old: the role must be free again.
	l.push(newPacket(f, []byte("old"), Now()-2*time.Hour))
	l.Flush()
	l.push(newPacket(f, []byte("new"), Now()))
	l.Flush()
	p.await(t, func(got *records) bool { return len(got.datagrams) == 2 })
}

func TestLaneEndDropsAndCounts(t *testing.T) {
	var drops obs.Drops
	p := newPeer(t)
	l := pipeLane(t, 0, &drops, p)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	f := newFlow(1)
	for range 5 {
		l.push(newPacket(f, []byte("x"), Now()))
	}
	l.pushRecord(proto.AppendGone(nil, 5, proto.GoneIdle))
	require.NoError(t, l.Run(ctx))
	require.EqualValues(t, 5, drops.Count(obs.DropLaneLost))
	l.push(newPacket(f, []byte("x"), Now()))
	l.Flush()
	l.Answer(proto.AppendGone(nil, 5, proto.GoneIdle))
	require.EqualValues(t, 6, drops.Count(obs.DropLaneLost))
	require.True(t, l.idle())
}

func TestLaneEndsWithItsConnection(t *testing.T) {
	for name, lane := range kinds {
		t.Run(name, func(t *testing.T) {
			var drops obs.Drops
			l := lane(t, 0, &drops, newPeer(t))
			ended := make(chan error, 1)
			go func() { ended <- l.Run(context.Background()) }()
			require.NoError(t, l.config.Mux.Close())
			f := newFlow(1)
			for {
				l.push(newPacket(f, []byte("x"), Now()))
				l.Flush()
				select {
				case err := <-ended:
					require.Error(t, err)
					require.True(t, errors.Is(err, io.ErrClosedPipe) || errors.Is(err, net.ErrClosed), err.Error())
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
}

// deafPeer takes a lane's bytes and says nothing more once it has opened its
// streams: no window update ever comes.
func deafPeer(t testing.TB) (near net.Conn, taken func() int) {
	near, far := net.Pipe()
	var mu sync.Mutex
	n := 0
	var wait sync.WaitGroup
	wait.Go(func() {
		if _, err := far.Write([]byte{
			2, 0, 0, 0, 3, 0, 0, 0, 2, 2, 1, 0, 3, 0, 0, 0, byte(proto.KindControl),
			2, 0, 0, 0, 5, 0, 0, 0, 2, 2, 1, 0, 5, 0, 0, 0, byte(proto.KindRecords),
		}); err != nil {
			return
		}
	})
	wait.Go(func() {
		b := make([]byte, 64<<10)
		for {
			got, err := far.Read(b)
			mu.Lock()
			n += got
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() { near.Close(); far.Close(); wait.Wait() })
	return near, func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// TestLaneWithoutRoomDropsAndDelaysNobody: a peer that stops reading costs its
// own lane's datagrams and nothing else.
func TestLaneWithoutRoomDropsAndDelaysNobody(t *testing.T) {
	var drops obs.Drops
	near, taken := deafPeer(t)
	m, err := mux.Accept(near, func([]byte) error { return nil })
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	deaf := New(Config{Slot: 0, Mux: m, MaxDelay: time.Hour, Drops: &drops})
	stop := run(t, deaf)
	p := newPeer(t)
	good := pipeLane(t, 1, &drops, p)
	run(t, good)
	s := NewSet(&drops, 1)
	s.Add(deaf)
	s.Add(good)

	flood, other := newFlow(0), newFlow(1) // modulo two lanes: one on each
	const each = 1000
	for i := range each {
		s.Send(flood, make([]byte, 1400), Now())
		s.Send(other, make([]byte, 100), Now())
		s.Flush()
		p.await(t, func(got *records) bool { return len(got.datagrams) == i+1 })
	}
	require.Less(t, taken(), 300<<10, "a peer's window is 256 KiB until it says more")
	require.NoError(t, stop())
	require.Greater(t, drops.Count(obs.DropQueueFull), uint64(500))
	require.LessOrEqual(t, drops.Count(obs.DropQueueFull)+drops.Count(obs.DropLaneLost), uint64(each))
}

// TestLaneFreshLaneAnnouncesAnew: the header that a lane took into its grave is
// given again to the next lane in its slot.
func TestLaneFreshLaneAnnouncesAnew(t *testing.T) {
	var drops obs.Drops
	f := newFlow(1)
	first := bareLane(2, &drops)
	first.push(newPacket(f, []byte("x"), Now()))
	first.gather(batchBytes) // and dies before it is written
	first.end()
	second := bareLane(2, &drops)
	f.Forget(2) // as who gives the slot away does
	second.push(newPacket(f, []byte("x"), Now()))
	second.gather(batchBytes)
	require.Equal(t, []uint32{1}, decode(t, second.batch[mux.FrameSpace:]).headers)
}
