package obs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTroubleIsToldOnce(t *testing.T) {
	var trouble Trouble
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	_, tell := trouble.Worked(now)
	require.False(t, tell, "there is none")
	for i := range 1000 {
		_, tell := trouble.Failed(now)
		require.Equal(t, i == 0, tell)
		_, tell = trouble.Worked(now)
		require.False(t, tell, "what fails every other time is one trouble")
		now = now.Add(time.Millisecond)
	}
	now = now.Add(troubleOver)
	lasted, tell := trouble.Worked(now)
	require.True(t, tell)
	require.Equal(t, 999*time.Millisecond, lasted)
	_, tell = trouble.Worked(now)
	require.False(t, tell, "once")

	_, tell = trouble.Failed(now)
	require.True(t, tell, "another one")
	_, tell = trouble.Failed(now)
	require.False(t, tell)
	unsaid, tell := trouble.Failed(now.Add(troubleAgain))
	require.True(t, tell, "it lasts")
	require.Equal(t, 1, unsaid)
}
