package flow

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWindow(t *testing.T) {
	type step struct {
		sequence uint32
		first    bool
	}
	for name, steps := range map[string][]step{
		"in order":                  {{1, true}, {2, true}, {3, true}},
		"second copies":             {{1, true}, {1, false}, {2, true}, {1, false}, {2, false}},
		"out of order":              {{5, true}, {3, true}, {4, true}, {3, false}, {6, true}},
		"any number may be first":   {{77777, true}, {77776, true}, {77777, false}},
		"zero may be first":         {{0, true}, {0, false}, {math.MaxUint32, true}},
		"wrap":                      {{math.MaxUint32, true}, {0, true}, {1, true}, {math.MaxUint32, false}, {0, false}},
		"wrap, out of order":        {{1, true}, {math.MaxUint32, true}, {0, true}, {math.MaxUint32, false}},
		"the oldest that is known":  {{windowSize, true}, {1, true}, {1, false}},
		"one too old":               {{windowSize, true}, {0, false}},
		"jump of the window less 1": {{1, true}, {windowSize, true}, {1, false}, {2, true}, {windowSize, false}},
		"jump of the window":        {{1, true}, {windowSize + 1, true}, {1, false}, {2, true}},
		"jump far beyond":           {{1, true}, {1 + 5*windowSize, true}, {2 + 4*windowSize, true}, {1 + 4*windowSize, false}},
		"half the numbers ahead":    {{0, true}, {1 << 31, false}, {1<<31 - 1, true}},
		"forgotten places are free": {{1, true}, {2, true}, {windowSize + 2, true}, {windowSize + 1, true}, {windowSize + 2, false}},
	} {
		t.Run(name, func(t *testing.T) {
			var w Window
			for i, s := range steps {
				require.Equalf(t, s.first, w.First(s.sequence), "step %d, number %d", i, s.sequence)
			}
		})
	}
}

// windowModel is what SPEC.md says of the window, in the simplest form.
type windowModel struct {
	newest uint32
	seen   map[uint32]bool
}

func (m *windowModel) first(n uint32) bool {
	if m.seen == nil {
		m.newest, m.seen = n, map[uint32]bool{n: true}
		return true
	}
	ahead := int32(n - m.newest)
	if ahead > 0 {
		m.newest = n
	} else if int64(ahead) <= -windowSize || m.seen[n] {
		return false
	}
	m.seen[n] = true
	return true
}

func TestWindowAgreesWithTheModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var w Window
		var m windowModel
		n := random.Uint32()
		for i := range 4000 {
			switch random.IntN(20) {
			case 0:
				n += random.Uint32N(3 * windowSize)
			case 1:
				n -= random.Uint32N(3 * windowSize)
			default:
				n += random.Uint32N(8) - 2
			}
			require.Equalf(t, m.first(n), w.First(n), "step %d, number %d", i, n)
		}
	}
}

// FuzzWindow takes numbers as steps of 2 bytes from one to the next; the
// highest bit makes it a long one.
func FuzzWindow(f *testing.F) {
	f.Add(uint32(1), []byte{0, 1, 0, 1, 0, 0, 0, 1})
	f.Add(uint32(math.MaxUint32), []byte{0, 1, 8, 0, 247, 255, 255, 255})
	f.Add(uint32(1<<31), []byte{127, 255, 128, 0, 0, 1})
	f.Fuzz(func(t *testing.T, n uint32, steps []byte) {
		var w Window
		var m windowModel
		for len(steps) >= 2 {
			step := int16(binary.BigEndian.Uint16(steps))
			steps = steps[2:]
			if step%7 == 0 {
				n += uint32(int32(step)) << 16
			} else {
				n += uint32(int32(step))
			}
			require.Equal(t, m.first(n), w.First(n))
		}
	})
}

func BenchmarkWindow(b *testing.B) {
	b.ReportAllocs()
	var w Window
	for i := range b.N {
		w.First(uint32(i))
		w.First(uint32(i)) // the second copy
	}
}
