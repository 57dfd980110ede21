package lane

import (
	"fmt"
	"testing"

	"funnel/internal/flow"
	"funnel/internal/obs"
)

// BenchmarkQueue is one datagram in and out of a queue of one flow, which
// begins and ends with it.
func BenchmarkQueue(b *testing.B) {
	b.ReportAllocs()
	d := newDesk()
	f := newFlow(1)
	payload := make([]byte, 200)
	buffer := make([]byte, 0, batchBytes)
	for range b.N {
		d.push(newPacket(f, payload, 0))
		buffer = d.gather(buffer[:0], batchBytes, 0)
	}
}

// BenchmarkScheduler is one datagram of as many flows, each with some waiting.
func BenchmarkScheduler(b *testing.B) {
	for _, n := range []int{1, 32, 1000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			d := newDesk()
			flows := make([]*flow.Flow, n)
			for i := range flows {
				flows[i] = newFlow(uint32(i))
			}
			payload := make([]byte, 200)
			buffer := make([]byte, 0, batchBytes)
			b.ResetTimer()
			for i := range b.N {
				d.push(newPacket(flows[i%n], payload, 0))
				if i%64 == 63 {
					buffer = d.gather(buffer[:0], batchBytes, 0)
				}
			}
		})
	}
}

// BenchmarkSchedulerFull is one datagram pushed to a lane that is full.
func BenchmarkSchedulerFull(b *testing.B) {
	b.ReportAllocs()
	d := newDesk()
	const n = 4000
	flows := make([]*flow.Flow, n)
	payload := make([]byte, 1200)
	for i := range flows {
		flows[i] = newFlow(uint32(i))
		d.push(newPacket(flows[i], payload, 0))
	}
	b.ResetTimer()
	for i := range b.N {
		d.push(newPacket(flows[i%n], payload, 0))
	}
}

// BenchmarkSend is one datagram from a socket's reader to a lane's batch.
func BenchmarkSend(b *testing.B) {
	for _, copies := range []int{1, 2, 3} {
		b.Run(fmt.Sprintf("copies=%d", copies), func(b *testing.B) {
			b.ReportAllocs()
			var drops obs.Drops
			s := NewSet(&drops, copies)
			for slot := range 4 {
				s.Add(bareLane(slot, &drops))
			}
			f := newFlow(1)
			payload := make([]byte, 200)
			for i := range b.N {
				now := Now()
				s.Send(f, payload, now)
				if i%32 == 31 {
					for _, l := range s.Lanes() {
						l.gather(batchBytes)
					}
				}
			}
		})
	}
}

// BenchmarkLane is one datagram written and read over TCP, no SSH between.
func BenchmarkLane(b *testing.B) {
	b.ReportAllocs()
	var drops obs.Drops
	p := newPeer(b)
	l := tcpLane(b, 0, &drops, p)
	run(b, l)
	f := newFlow(1)
	payload := make([]byte, 200)
	for i := range b.N {
		l.push(newPacket(f, payload, Now()))
		l.Flush()
		p.await(b, func(got *records) bool { return len(got.datagrams) == i+1 })
	}
}
