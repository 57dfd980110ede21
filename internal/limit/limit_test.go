package limit

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSource(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.1":            "192.0.2.1/32",
		"::ffff:192.0.2.1":     "192.0.2.1/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"fe80::1%eth0":         "fe80::/64",
		"::1":                  "::/64",
	} {
		require.Equal(t, want, Source(netip.MustParseAddr(address), 32, 64).String())
	}
	require.Zero(t, Source(netip.Addr{}, 32, 64))
	require.Equal(t, "192.0.0.0/16", Source(netip.MustParseAddr("192.0.2.1"), 16, 64).String())
}

func TestBuckets(t *testing.T) {
	b := NewBuckets(1<<16, 10, 5)
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	now := time.Now()
	take := func(n int, source netip.Prefix) (taken int) {
		for range n {
			if b.Take(source, now) {
				taken++
			}
		}
		return taken
	}
	require.Equal(t, 5, take(10, one))
	require.Equal(t, 5, take(10, other), "each has its own")
	now = now.Add(200 * time.Millisecond)
	require.Equal(t, 2, take(10, one))
	now = now.Add(-time.Hour)
	require.Equal(t, 0, take(10, one), "a clock that goes back gives nothing")
	now = now.Add(2 * time.Hour)
	require.Equal(t, 5, take(10, one), "no more than the burst")

	require.True(t, (*Buckets)(nil).Take(one, now))
	require.True(t, NewBuckets(1, 0, 0).Take(one, now), "no rate is no bound")
	single := NewBuckets(1, 1, 1)
	require.True(t, single.Take(one, now))
	require.False(t, single.Take(other, now), "sources may share")
}

func TestCounter(t *testing.T) {
	c := NewCounter(2)
	require.True(t, c.Take())
	require.True(t, c.Take())
	require.False(t, c.Take())
	require.Equal(t, 2, c.Count())
	c.Give()
	require.True(t, c.Take())
	require.True(t, NewCounter(0).Take())
	var none *Counter
	require.True(t, none.Take())
	none.Give()
	require.Zero(t, none.Count())
}
