package agent

import (
	"context"
	"errors"
	"net/netip"
	"sync/atomic"
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
				time.Sleep(refusalSpacing - time.Millisecond)
				require.False(t, Permanent(d.note(refusal)))
				time.Sleep(time.Millisecond)
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

// All links wait for the first login of all, and for no other.
func TestAfterTheFirstLoginNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDialer(Config{Address: "relay.example:22"})
		var logins atomic.Int32
		d.resolver.find = func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			logins.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 4 {
			go func() { _, _ = d.dial(ctx, func() {}, false) }()
		}
		synctest.Wait()
		require.EqualValues(t, 1, logins.Load())
		time.Sleep(connectTimeout) // it fails, and it's the next one's turn
		synctest.Wait()
		require.EqualValues(t, 2, logins.Load())
		require.NoError(t, d.note(nil)) // as a login that succeeds does
		time.Sleep(connectTimeout)
		synctest.Wait()
		require.EqualValues(t, 4, logins.Load())
		cancel()
		synctest.Wait()
	})
}

func TestWhoWaitsForTheFirstLoginCanBeStopped(t *testing.T) {
	d := newDialer(Config{Address: "relay.example:22"})
	release, err := d.turn(t.Context())
	require.NoError(t, err)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.turn(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
