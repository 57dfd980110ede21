package probe

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorded is a series with everything that can happen to a message.
func recorded() Series {
	ms := time.Millisecond
	return Series{
		Start: time.Unix(1764090000, 123456789), Rate: 60, Size: 128,
		Samples: []Sample{
			{Intended: 0, Sent: 1, Received: 40 * ms},
			{Intended: 16666666, Sent: 16676666},                               // lost
			{Intended: 33333333, Sent: 33333334, Received: 33333333 + 400*ms},  // late
			{Intended: 50 * ms},                                                // never sent
			{Intended: 66666666, Sent: 66666667, Received: 66666666 + 41*ms},   // overtakes
			{Intended: 83333333, Sent: 183333333, Received: 83333333 + 141*ms}, // sender held up
		},
		Duplicates: []Duplicate{{0, 45 * ms}, {4, 900 * ms}},
	}
}

func TestFileRoundTrip(t *testing.T) {
	first, second := recorded(), Series{Start: time.Unix(5, 0), Rate: 0.5, Size: MinSize, Samples: []Sample{}}
	var b bytes.Buffer
	require.NoError(t, WriteSeries(&b, first))
	require.NoError(t, WriteSeries(&b, second)) // appended, as with cat
	got, err := ReadSeries(&b)
	require.NoError(t, err)
	require.Equal(t, []Series{first, second}, got)
}

func TestFileIsCompact(t *testing.T) {
	s := Series{Rate: 60, Size: 128}
	for i := range 6000 {
		intended := time.Duration(i) * time.Second / 60
		s.Samples = append(s.Samples, Sample{intended, intended + 12*time.Microsecond, intended + 40700*time.Microsecond})
	}
	var b bytes.Buffer
	require.NoError(t, WriteSeries(&b, s))
	require.Less(t, b.Len(), 6000*12)
}

// TestFileDamaged: no single flipped bit and no cut goes unnoticed.
func TestFileDamaged(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, WriteSeries(&b, recorded()))
	whole := b.Bytes()
	for i := range whole {
		for bit := range 8 {
			damaged := bytes.Clone(whole)
			damaged[i] ^= 1 << bit
			_, err := ReadSeries(bytes.NewReader(damaged))
			require.ErrorIsf(t, err, ErrFormat, "byte %d, bit %d", i, bit)
		}
		if i > 0 {
			_, err := ReadSeries(bytes.NewReader(whole[:i]))
			require.ErrorIsf(t, err, ErrFormat, "cut to %d bytes", i)
		}
	}
}

// FuzzParseSeries: whatever the bytes, no panic, and what parses is written and
// parsed again to the same.
func FuzzParseSeries(f *testing.F) {
	s := recorded()
	f.Add(appendSeries(nil, &s))
	f.Add(appendSeries(nil, &Series{}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSeries(b)
		if err != nil {
			require.ErrorIs(t, err, ErrFormat)
			return
		}
		again, err := parseSeries(appendSeries(nil, &s))
		require.NoError(t, err)
		require.Equal(t, s.Samples, again.Samples)
		require.Equal(t, s.Duplicates, again.Duplicates)
		_ = Summarize(0, s) // takes what a file may hold
	})
}
