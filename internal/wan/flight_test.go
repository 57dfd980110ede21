package wan

import (
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlightLandsInTheOrderDueThenCome(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	var f flight
	var want []packet
	for i := range 2000 {
		p := packet{due: random.Int64N(50), size: i}
		f.push(p)
		want = append(want, p)
	}
	sort.SliceStable(want, func(i, j int) bool { return want[i].due < want[j].due })
	for _, p := range want {
		require.Equal(t, p.due, f.first())
		got := f.pop()
		require.Equal(t, p.size, got.size)
	}
	require.Zero(t, f.len())
}

func BenchmarkFlight(b *testing.B) {
	var f flight
	for i := range 400 { // 20 ms at 20,000 a second
		f.push(packet{due: int64(i)})
	}
	due := nanoseconds(400)
	b.ReportAllocs()
	for b.Loop() {
		f.push(packet{due: due})
		f.pop()
		due++
	}
}
