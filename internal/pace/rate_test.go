package pace

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"16M": 2e6, "16Mbit": 2e6, "16Mbit/s": 2e6, "1.5M": 187500, "64k": 8000, "64000": 8000,
		"2G": 25e7, "100G": 125e8, "800K": 1e5, "1g": 125e6,
	} {
		var r Rate
		require.NoError(t, r.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, r, text)
		var again Rate
		require.NoError(t, again.UnmarshalText([]byte(r.String())))
		require.Equal(t, r, again)
	}
	for _, text := range []string{"", "M", "16X", "-5M", "16 M", "NaN", "Inf", "1e99G", "63k", "101G", "0", "16MM"} {
		var r Rate
		err := r.UnmarshalText([]byte(text))
		require.ErrorContains(t, err, "as in 16M", text)
		require.Zero(t, r)
	}
}

func FuzzRate(f *testing.F) {
	for _, seed := range []string{"16M", "1.5Mbit/s", "64k", "0x10M", "1e3k", "bit"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r Rate
		if r.UnmarshalText([]byte(text)) != nil {
			return
		}
		require.GreaterOrEqual(t, uint64(r), uint64(leastRate))
		require.LessOrEqual(t, uint64(r), uint64(mostRate))
	})
}
