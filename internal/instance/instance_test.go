package instance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachStartIsALaterGenerationOfTheSameAgent(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "made")
	first, err := Next(directory)
	require.NoError(t, err)
	require.NotZero(t, first.Agent)
	require.EqualValues(t, 1, first.Generation)
	second, err := Next(directory)
	require.NoError(t, err)
	require.Equal(t, first.Agent, second.Agent)
	require.EqualValues(t, 2, second.Generation)
	require.NotEqual(t, first.Run, second.Run)
	files, err := os.ReadDir(directory)
	require.NoError(t, err)
	require.Len(t, files, 1)
	info, err := files[0].Info()
	require.NoError(t, err)
	require.Zero(t, info.Mode()&0o077)
}

func TestOtherDirectoriesAreOtherAgents(t *testing.T) {
	one, err := Next(t.TempDir())
	require.NoError(t, err)
	other, err := Next(t.TempDir())
	require.NoError(t, err)
	require.NotEqual(t, one.Agent, other.Agent)
}

func TestWhatCannotBeNotedIsAnAgentNeverSeenBefore(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, fileName)
	for _, content := range []string{"", "x", "00112233445566778899aabbccddeeff", "00112233445566778899aabbccddeeff x\n", "zz112233445566778899aabbccddeeff 1\n"} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		got, err := Next(directory)
		require.ErrorContains(t, err, path)
		require.NotZero(t, got.Agent)
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(kept), "what can't be understood isn't overwritten")
	}
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	got, err := Next(blocked)
	require.Error(t, err)
	require.NotZero(t, got.Agent)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("00112233445566778899aabbccddeeff 7\n"))
	f.Add([]byte("00112233445566778899aabbccddeeff -1\n"))
	f.Add([]byte(" 1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		_, generation, err := parse(content)
		if err == nil {
			require.Less(t, generation, uint64(1)<<63)
		}
	})
}
