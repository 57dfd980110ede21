package proto

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// sink is a Receiver that does nothing but count.
type sink struct{ datagrams, bytes, others int }

func (s *sink) Datagram(_, _ uint32, payload []byte) {
	s.datagrams++
	s.bytes += len(payload)
}
func (s *sink) Flow(FlowHeader)         { s.others++ }
func (s *sink) Gone(uint32, GoneReason) { s.others++ }
func (s *sink) Mark(uint64)             { s.others++ }
func (s *sink) Echo(uint64)             { s.others++ }

// frameBytes is how many bytes of records go into one frame; see SPEC.md §5.
const frameBytes = 32760

// fullFrame is a frame's worth of datagrams of one size.
func fullFrame(size int) (b []byte, datagrams int) {
	payload := make([]byte, size)
	for len(b)+DatagramHeader+size <= frameBytes {
		datagrams++
		b = AppendDatagram(b, 7, uint32(datagrams), payload)
	}
	return b, datagrams
}

func TestDecodeOfWholeRecordsDoesNotAllocate(t *testing.T) {
	b := appendRecords(nil, everyRecord())
	var s sink
	var d Decoder
	allocs := testing.AllocsPerRun(100, func() {
		if err := d.Decode(b, &s); err != nil {
			t.Error(err)
		}
	})
	require.Zero(t, allocs)
	require.Equal(t, 101*len(everyRecord()), s.datagrams+s.others)
}

// TestDecodeOfCutRecordsStopsAllocating: the buffers for cut records are kept.
func TestDecodeOfCutRecordsStopsAllocating(t *testing.T) {
	b, datagrams := fullFrame(1200)
	var s sink
	var d Decoder
	allocs := testing.AllocsPerRun(100, func() {
		for _, p := range [][]byte{b[:700], b[700:5000], b[5000:]} {
			if err := d.Decode(p, &s); err != nil {
				t.Error(err)
			}
		}
	})
	require.Zero(t, allocs)
	require.Equal(t, 101*datagrams, s.datagrams)
}

func TestAppendDoesNotAllocate(t *testing.T) {
	payload := make([]byte, 1200)
	b := make([]byte, 0, 4096)
	header := everyRecord()[4].(FlowHeader)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b = AppendDatagram(b[:0], 1, 2, payload)
		b = AppendFlow(b, header)
		b = AppendGone(b, 1, GoneIdle)
		b = AppendMark(b, 1)
		b = AppendEcho(b, 1)
	}))
}

func BenchmarkDecoder(b *testing.B) {
	for _, size := range []int{64, 1200} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			stream, datagrams := fullFrame(size)
			benchmarkDecoder(b, datagrams, stream)
		})
		b.Run(fmt.Sprintf("size=%d/cut", size), func(b *testing.B) {
			stream, datagrams := fullFrame(size)
			half := len(stream)/2 + 5 // within a record
			benchmarkDecoder(b, datagrams, stream[:half], stream[half:])
		})
	}
}

func benchmarkDecoder(b *testing.B, datagrams int, pieces ...[]byte) {
	var s sink
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range pieces {
			if err := d.Decode(p, &s); err != nil {
				b.Fatal(err)
			}
		}
	}
	// No bytes per second: the decoder doesn't touch a payload it finds whole.
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*datagrams), "ns/datagram")
}

func BenchmarkAppendDatagram(b *testing.B) {
	for _, size := range []int{64, 1200} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			payload := make([]byte, size)
			buffer := make([]byte, 0, frameBytes)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if len(buffer)+DatagramHeader+size > frameBytes {
					buffer = buffer[:0]
				}
				buffer = AppendDatagram(buffer, 7, 1, payload)
			}
		})
	}
}
