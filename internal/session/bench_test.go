package session

import (
	"net/netip"
	"runtime"
	"testing"

	"funnel/internal/flow"
	"funnel/internal/lane"
	"funnel/proto"
)

// BenchmarkFlows is what a session's flows cost the relay: the bytes of one,
// in a table that is full.
func BenchmarkFlows(b *testing.B) {
	r := NewRegistry(Config{})
	defer r.Close()
	s, err := r.join(proto.Hello{}, key("a"))
	if err != nil {
		b.Fatal(err)
	}
	bound := &binding{session: s, flows: make(map[origin]*flow.Entry[*conversation])}
	from := netip.MustParseAddr("203.0.113.9")
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	reader := reader{binding: bound}
	open := func(n int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		remote := netip.AddrPortFrom(from, uint16(n))
		if n > 1<<16 {
			remote = netip.AddrPortFrom(from.Next(), uint16(n))
		}
		reader.open(origin{remote: remote, local: from}, lane.Now())
		reader.evicted = reader.evicted[:0]
	}
	before := heap()
	for n := range DefaultMaxFlows {
		open(n)
	}
	perFlow := float64(heap()-before) / DefaultMaxFlows
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		open(DefaultMaxFlows + i%100000)
	}
	b.ReportMetric(perFlow, "B/flow")
}
