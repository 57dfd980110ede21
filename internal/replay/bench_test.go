package replay

import (
	"runtime"
	"testing"

	"funnel/internal/forward"
	"funnel/internal/lane"
	"funnel/proto"
)

// BenchmarkFlows is what a flow costs the agent: to open one where the table
// is full, and the bytes of heap of each, without its socket's in the kernel.
func BenchmarkFlows(b *testing.B) {
	const most = 500 // each has a descriptor, of which few may be had
	_, f := server(b)
	g := New(Config{Forwards: []forward.Forward{f}, MaxFlows: most})
	defer func() { g.close(); g.readers.Wait() }()
	g.begin(token)
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	open := func(n int) {
		h := proto.FlowHeader{Flow: uint32(n), Client: from}
		if _, _, ok := g.open(h, token, lane.Now()); !ok {
			b.Fatal("the flow wasn't opened")
		}
	}
	before := heap()
	for n := range most {
		open(n)
	}
	perFlow := float64(heap()-before) / most
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		open(most + i)
	}
	b.ReportMetric(perFlow, "B/flow")
}

// BenchmarkDelivery is one datagram from a lane's bytes to the target's socket.
func BenchmarkDelivery(b *testing.B) {
	target, f := server(b)
	g := New(Config{Forwards: []forward.Forward{f}})
	defer func() { g.close(); g.readers.Wait() }()
	g.begin(token)
	d := newDelivery(g, token)
	if err := d.receive(announce(7, 0)); err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2048)
		for {
			if _, err := target.Read(buffer); err != nil {
				return
			}
		}
	}()
	defer func() { target.Close(); <-done }()
	payload := make([]byte, 200)
	var record []byte
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		record = proto.AppendDatagram(record[:0], 7, uint32(i+1), payload)
		if err := d.receive(record); err != nil {
			b.Fatal(err)
		}
	}
}
