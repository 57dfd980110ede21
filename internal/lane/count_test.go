package lane

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCopyCount(t *testing.T) {
	for text, want := range map[string]CopyCount{"auto": 0, "1": 1, "2": 2, "3": 3} {
		c := CopyCount(9)
		require.NoError(t, c.UnmarshalText([]byte(text)))
		require.Equal(t, want, c)
	}
	for _, text := range []string{"", "0", "4", "-1", "Auto", "two"} {
		c := CopyCount(2)
		require.ErrorContains(t, c.UnmarshalText([]byte(text)), "is not auto or a number from 1 to 3", text)
		require.EqualValues(t, 2, c)
	}
}
