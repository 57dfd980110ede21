package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// most and least are the ends of what jitter may draw.
func most(n int64) int64  { return n - 1 }
func least(n int64) int64 { return 0 }

func waits(b *Backoff, n int) []time.Duration {
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = b.Next()
	}
	return all
}

func TestNextDoublesToItsMaximum(t *testing.T) {
	const s = time.Second
	b := New(Config{Base: s, Max: 10 * s})
	b.random = most
	require.Equal(t, []time.Duration{0, s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s}, waits(b, 7))

	b = New(Config{Base: s, Max: 10 * s})
	b.random = least
	require.Equal(t, []time.Duration{0, s / 2, s, 2 * s, 4 * s, 5 * s, 5 * s}, waits(b, 7))
}

func TestNextDefaults(t *testing.T) {
	b := New(Config{})
	require.Zero(t, b.Next())
	for ceil := DefaultBase; ceil < DefaultMax; ceil *= 2 {
		wait := b.Next()
		require.LessOrEqual(t, wait, ceil)
		require.GreaterOrEqual(t, wait, ceil/2)
	}
	for range 100 {
		wait := b.Next()
		require.LessOrEqual(t, wait, DefaultMax)
		require.GreaterOrEqual(t, wait, DefaultMax/2)
	}
}

func TestNextWithOddConfig(t *testing.T) {
	for _, config := range []Config{
		{Base: 1, Max: 1},
		{Base: time.Hour, Max: time.Second},
		{Base: 1<<63 - 1, Max: 1<<63 - 1},
		{Base: -1, Max: -1, Stable: -1},
	} {
		b := New(config)
		for range 200 {
			wait := b.Next()
			require.GreaterOrEqual(t, wait, time.Duration(0))
			require.LessOrEqual(t, wait, b.config.Max)
		}
	}
}

func TestNextIsJittered(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 50 {
		b := New(Config{})
		b.Next()
		seen[b.Next()] = true
	}
	require.Greater(t, len(seen), 1)
}

func TestOnlyAStableLinkResets(t *testing.T) {
	b := New(Config{})
	b.random = most
	waits(b, 3)
	b.Succeeded(DefaultStable - 1)
	require.Equal(t, 4*DefaultBase, b.Next(), "a link that soon ended changes nothing")
	b.Succeeded(DefaultStable)
	require.Zero(t, b.Next(), "a link that lived is retried at once")
	require.Equal(t, DefaultBase, b.Next(), "and then as in the beginning")
}

func TestWaitSleepsForNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{Base: time.Second})
		b.random = most
		start := time.Now()
		require.NoError(t, b.Wait(t.Context()))
		require.Zero(t, time.Since(start))
		require.NoError(t, b.Wait(t.Context()))
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, b.Wait(t.Context()))
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := New(Config{Base: time.Minute, Max: time.Minute})
		require.NoError(t, b.Wait(ctx))
		start := time.Now()
		require.ErrorIs(t, b.Wait(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestWaitThatIsZeroHeedsItsContextToo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, New(Config{}).Wait(ctx), context.Canceled)
}
