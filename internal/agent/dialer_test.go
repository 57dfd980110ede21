package agent

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// All links dial at once when the relay has closed them for a list of keys that was
// half written: that they are refused must not end the agent.
func TestRefusalsAtOnceCountAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := &permanentError{ErrAuth, errors.New("no key is accepted")}
		d := newDialer(Config{})
		require.True(t, Permanent(d.note(refusal)), "the first login of all")

		d = newDialer(Config{})
		require.NoError(t, d.note(nil))
		for range 2 {
			for range refusalsAfterLogin - 1 {
				for range 10 {
					require.False(t, Permanent(d.note(refusal)))
				}
				time.Sleep(refusalSpacing - 1)
				require.False(t, Permanent(d.note(refusal)))
				time.Sleep(1)
			}
			require.NoError(t, d.verdict())
			require.NoError(t, d.note(nil), "the key is in the list again")
		}
		for range refusalsAfterLogin - 1 {
			require.False(t, Permanent(d.note(refusal)))
			time.Sleep(refusalSpacing)
		}
		require.True(t, Permanent(d.note(refusal)))
		require.ErrorIs(t, d.verdict(), ErrAuth)
	})
}
