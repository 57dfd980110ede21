package keys

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTerminalThatIsNotThere(t *testing.T) {
	terminal := NewTerminal()
	terminal.open = func() (*console, error) { return nil, errors.New("no such device") }
	_, err := terminal.Secret(t.Context(), "? ")
	require.ErrorIs(t, err, ErrNoTerminal)
	_, err = terminal.Confirm(t.Context(), "? ")
	require.ErrorIs(t, err, ErrNoTerminal)
	require.ErrorContains(t, err, "no such device")
}

func TestScanLine(t *testing.T) {
	for text, want := range map[string]string{"a b\nc": "a b", "a\r\n": "a", "\n": ""} {
		line, err := scanLine(strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, want, string(line))
	}
	_, err := scanLine(strings.NewReader("cut off"))
	require.ErrorContains(t, err, "none was given")
	_, err = scanLine(strings.NewReader(strings.Repeat("x", maxAnswer+1)))
	require.ErrorContains(t, err, "longer than")
}
