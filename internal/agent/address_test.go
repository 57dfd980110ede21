package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func addrs(all ...string) (list []netip.Addr) {
	for _, a := range all {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func TestFamiliesAreTriedInTurn(t *testing.T) {
	require.Equal(t, addrs("2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"),
		inTurn(addrs("2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "::ffff:192.0.2.2", "192.0.2.1")))
	require.Equal(t, addrs("192.0.2.1", "192.0.2.2"), inTurn(addrs("192.0.2.1", "192.0.2.2")))
}

// finds is a lookup with a fixed answer.
func finds(list []netip.Addr, err error) lookup {
	return func(context.Context, string, string) ([]netip.Addr, error) { return list, err }
}

func TestEveryAddressIsTried(t *testing.T) {
	port := freePort(t) // at every address
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	defer listener.Close()
	// Nobody listens at the first ones.
	conn, err := dialTCP(t.Context(), finds(addrs("127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"), nil), "relay.example:"+port)
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, listener.Addr().String(), conn.RemoteAddr().String())

	_, err = dialTCP(t.Context(), finds(addrs("127.0.0.2", "127.0.0.3"), nil), "relay.example:"+port)
	require.ErrorContains(t, err, "127.0.0.2")
}

func TestTheNameIsLookedUpEachTime(t *testing.T) {
	port := freePort(t) // at every address
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	defer listener.Close()
	answers := [][]netip.Addr{addrs("127.0.0.2"), addrs("127.0.0.1")}
	moving := func(context.Context, string, string) ([]netip.Addr, error) {
		answer := answers[0]
		answers = answers[1:]
		return answer, nil
	}
	_, err = dialTCP(t.Context(), moving, "relay.example:"+port)
	require.Error(t, err)
	conn, err := dialTCP(t.Context(), moving, "relay.example:"+port)
	require.NoError(t, err)
	conn.Close()
}

func TestALookupThatHangsOrFailsIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		_, err := dialTCP(t.Context(), hangs, "relay.example:22")
		require.EqualError(t, err, "look up relay.example: DNS gave no answer within 15s")
		require.Equal(t, connectTimeout, time.Since(start))
	})
	failure := errors.New("no such host")
	_, err := dialTCP(t.Context(), finds(nil, failure), "relay.example:22")
	require.ErrorIs(t, err, failure)
	_, err = dialTCP(t.Context(), finds(nil, nil), "relay.example:22")
	require.ErrorContains(t, err, "no address")
}
