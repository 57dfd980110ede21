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

func TestWithoutDNSTheLastAddressWillDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := errors.New("no such host")
		answer, err := addrs("192.0.2.1"), error(nil)
		hangs := false
		r := newResolver(func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			if hangs {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer, err
		})
		defer r.stop()
		find := func() ([]netip.Addr, error) { return r.lookup(t.Context(), "ip", "relay.example") }

		got, _ := find()
		require.Equal(t, answer, got)
		answer, err = nil, failure
		_, got2 := find()
		require.ErrorIs(t, got2, failure, "there is no last address yet")

		r.connected(netip.MustParseAddr("192.0.2.1"))
		got, _ = find()
		require.Equal(t, addrs("192.0.2.1"), got)
		hangs = true
		got, _ = find()
		require.Equal(t, addrs("192.0.2.1"), got)
		time.Sleep(lookupTimeout) // until then the question is asked
		synctest.Wait()
		hangs, answer, err = false, addrs("192.0.2.2"), nil
		got, _ = find()
		require.Equal(t, addrs("192.0.2.2"), got, "DNS that answers knows better")
	})
}

// A first name server that is dead makes each answer late, and it counts all the same.
func TestALateAnswerIsForTheNextDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type dns struct {
			answer []netip.Addr
			takes  time.Duration
		}
		var now atomic.Pointer[dns]
		var asking atomic.Int32
		r := newResolver(func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			if asking.Add(1) > 1 {
				t.Error("two questions at once")
			}
			defer asking.Add(-1)
			select {
			case <-time.After(now.Load().takes):
				return now.Load().answer, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		find := func() []netip.Addr {
			t.Helper()
			begun := time.Now()
			got, err := r.lookup(t.Context(), "ip", "relay.example")
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(begun), lookupPatience)
			return got
		}
		const late = 5 * time.Second
		now.Store(&dns{addrs("192.0.2.1"), late})
		r.connected(netip.MustParseAddr("::ffff:192.0.2.1"))
		for range 10 {
			require.Equal(t, addrs("192.0.2.1"), find())
		}
		time.Sleep(late) // the question under way ends
		now.Store(&dns{addrs("192.0.2.2", "192.0.2.3"), late})
		require.Equal(t, addrs("192.0.2.1"), find(), "the relay has moved, but who knows?")
		time.Sleep(late)
		require.Equal(t, addrs("192.0.2.2", "192.0.2.3", "192.0.2.1"), find())
		r.connected(netip.MustParseAddr("192.0.2.3"))
		require.Equal(t, addrs("192.0.2.3"), find())
		time.Sleep(late)
		now.Store(&dns{nil, time.Hour})
		require.Equal(t, addrs("192.0.2.3"), find())
		require.EqualValues(t, 1, asking.Load())
		r.stop()
		require.Zero(t, asking.Load())
		require.Equal(t, addrs("192.0.2.3"), find(), "and asks no more")
	})
}
