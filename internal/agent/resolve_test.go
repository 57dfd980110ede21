package agent

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestWithoutDNSTheLastAddressWillDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := errors.New("no such host")
		answer, err := addrs("192.0.2.1"), error(nil)
		hangs := false
		r := &resolver{find: func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			if hangs {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return answer, err
		}}
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
		hangs, answer, err = false, addrs("192.0.2.2"), nil
		got, _ = find()
		require.Equal(t, addrs("192.0.2.2"), got, "DNS that answers knows better")
	})
}
