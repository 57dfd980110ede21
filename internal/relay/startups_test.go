package relay

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/backoff"
)

func TestParseMaxStartups(t *testing.T) {
	for text, want := range map[string]MaxStartups{
		"64:30:256": {64, 30, 256}, "10": {10, 100, 10}, "1:100:1": {1, 100, 1},
	} {
		got, err := ParseMaxStartups(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, text := range []string{"", "a", "1:2", "10:30:5", "1:101:2", "0:1:2", "1:2:3:4"} {
		_, err := ParseMaxStartups(text)
		require.Error(t, err, text)
	}
}

func TestMaxStartupsDropsMoreTheMoreThereAre(t *testing.T) {
	m := MaxStartups{Start: 10, Rate: 30, Full: 60}
	share := func(count int) (dropped int) {
		for chance := range 100 {
			if m.drops(count, chance) {
				dropped++
			}
		}
		return dropped
	}
	require.Equal(t, 0, share(9))
	require.Equal(t, 30, share(10))
	require.Equal(t, 65, share(35))
	require.Equal(t, 98, share(59))
	require.Equal(t, 100, share(60))
	require.True(t, MaxStartups{5, 100, 5}.drops(5, 0))
}

// stays is the yield of a connection that must not give way.
func stays(t *testing.T) func() { return func() { require.Fail(t, "it gave way") } }

// Who holds a place without logging in gives it to who comes.
func TestStartupsGiveWayToNewOnes(t *testing.T) {
	begun := time.Now()
	s := newStartups(Limits{MaxStartups: MaxStartups{2, 100, 2}}.withDefaults())
	var gone []int
	var releases []func()
	admit := func(n int, at time.Duration) (refusal string) {
		release, refusal := s.admit(netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), begun.Add(at), func() { gone = append(gone, n) })
		releases = append(releases, release)
		return refusal
	}
	require.Empty(t, admit(1, 0))
	require.Empty(t, admit(2, time.Second))
	require.NotEmpty(t, admit(3, loginTime-1), "a login has its time")
	require.Empty(t, gone)
	require.Empty(t, admit(4, loginTime))
	require.Equal(t, []int{1}, gone, "the oldest goes")
	require.NotEmpty(t, admit(5, loginTime))
	releases[0]() // it went already
	require.NotEmpty(t, admit(6, loginTime))
	releases[1]() // it is logged in
	require.Empty(t, admit(7, loginTime))
	require.Equal(t, []int{1}, gone)
	releases[len(releases)-1]()

	// Who logged in before isn't hurried.
	home := netip.MustParseAddr("192.0.2.1")
	s.remember(home, begun)
	_, refusal := s.admit(home, begun, stays(t))
	require.Empty(t, refusal)
	require.Empty(t, admit(8, 2*loginTime))
	require.Equal(t, []int{1, 4}, gone)
	require.NotEmpty(t, admit(9, 2*loginTime))
	require.Equal(t, 1, s.waiting.Len())
	require.Equal(t, 2, s.count)
	require.Len(t, s.bySource, 2)
}

func TestStartupsPerSource(t *testing.T) {
	now := time.Now()
	s := newStartups(Limits{MaxStartups: MaxStartups{1000, 30, 2000}}.withDefaults())
	home := netip.MustParseAddr("192.0.2.1")
	var releases []func()
	for range maxStartupsPerSource {
		release, refusal := s.admit(home, now, stays(t))
		require.Empty(t, refusal)
		releases = append(releases, release)
	}
	_, refusal := s.admit(home, now, stays(t))
	require.Equal(t, "its source has too many connections that are not logged in", refusal)
	_, refusal = s.admit(netip.MustParseAddr("192.0.2.2"), now, stays(t))
	require.Empty(t, refusal)
	releases[0]()
	releases[0]() // counts once
	_, refusal = s.admit(home, now, stays(t))
	require.Empty(t, refusal)
	_, refusal = s.admit(home, now, stays(t))
	require.NotEmpty(t, refusal)
}

// A crowd of strangers keeps out strangers, and not who logged in before.
func TestStartupsKeepPlacesForThoseWhoWereHere(t *testing.T) {
	now := time.Now()
	s := newStartups(Limits{MaxStartups: MaxStartups{4, 100, 4}}.withDefaults())
	home := netip.MustParseAddr("192.0.2.1")
	s.remember(home, now)
	stranger := func(i int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:0:%x::1", i)) }
	var last func()
	for i := range 4 {
		release, refusal := s.admit(stranger(i), now, stays(t))
		require.Empty(t, refusal)
		last = release
	}
	_, refusal := s.admit(stranger(5), now, stays(t))
	require.Equal(t, "too many connections are not logged in", refusal)
	release, refusal := s.admit(home, now, stays(t))
	require.Empty(t, refusal)
	release()
	last()
	_, refusal = s.admit(stranger(6), now, stays(t))
	require.Empty(t, refusal)
	// Who was refused leaves no trace.
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Len(t, s.bySource, 4)
	require.Equal(t, 4, s.count)
	require.Zero(t, s.reserved)
}

func TestStartupsRememberSoMany(t *testing.T) {
	s := newStartups(Limits{}.withDefaults())
	now := time.Now()
	for i := range maxKnown + 10 {
		s.remember(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now.Add(time.Duration(i)))
	}
	require.Len(t, s.known, maxKnown)
	require.NotContains(t, s.known, netip.MustParsePrefix("10.0.0.0/32"))
	require.Contains(t, s.known, netip.MustParsePrefix("10.0.0.200/32"))
}

func TestSourcesThatConnectTooOften(t *testing.T) {
	s := newStartups(Limits{PerSourceRate: 2}.withDefaults())
	now, home := time.Now(), netip.MustParseAddr("192.0.2.1")
	admitted := func(n int) (count int) {
		for range n {
			if release, refusal := s.admit(home, now, stays(t)); refusal == "" {
				release()
				count++
			} else {
				require.Equal(t, "its source connects too often", refusal)
			}
		}
		return count
	}
	require.Equal(t, 2*rateBurst, admitted(20))
	now = now.Add(time.Second)
	require.Equal(t, 2, admitted(20))
}

func TestParsePenalties(t *testing.T) {
	p, err := ParsePenalties("authfail:7 noauth:2s refuseconnection:1h max:1m max-sources:9")
	require.NoError(t, err)
	want := DefaultPenalties()
	want.AuthFail, want.NoAuth, want.Max, want.MaxSources = 7*time.Second, 2*time.Second, time.Minute, 9
	require.Equal(t, want, p)
	p, err = ParsePenalties("no")
	require.NoError(t, err)
	require.Zero(t, p)
	p, err = ParsePenalties("yes")
	require.NoError(t, err)
	require.Equal(t, DefaultPenalties(), p)
	for _, text := range []string{"x:1", "authfail", "authfail:x", "authfail:-1s", "max-sources:0", "min:25h"} {
		_, err := ParsePenalties(text)
		require.Error(t, err, text)
	}
}

func TestPenaltiesAddUp(t *testing.T) {
	b := newBook(Limits{
		Penalties:     DefaultPenalties(),
		PenaltyExempt: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
	}.withDefaults())
	now := time.Now()
	bad, fine := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("198.51.100.7")
	for range 2 {
		require.Zero(t, b.add(bad, b.penalties.AuthFail, now))
		require.False(t, b.keepsOut(bad, now), "below the minimum")
	}
	require.Equal(t, 15*time.Second, b.add(bad, b.penalties.AuthFail, now), "from now on")
	require.True(t, b.keepsOut(netip.MustParseAddr("2001:db8::2"), now), "one /64 is one stranger")
	require.False(t, b.keepsOut(netip.MustParseAddr("2001:db8:0:1::1"), now))
	for range 200 {
		require.True(t, b.keepsOut(bad, now))
	}
	require.False(t, b.keepsOut(bad, now.Add(15*time.Second)), "who comes again is not kept out for longer")
	for range 200 {
		require.Zero(t, b.add(bad, b.penalties.AuthFail, now), "logins that were under way")
	}
	require.True(t, b.keepsOut(bad, now.Add(9*time.Minute+59*time.Second)))
	now = now.Add(time.Hour)
	require.False(t, b.keepsOut(bad, now), "at most ten minutes")
	require.Zero(t, b.add(bad, b.penalties.NoAuth, now), "and then it starts anew")

	for range 100 {
		b.add(fine, b.penalties.AuthFail, now)
	}
	require.False(t, b.keepsOut(fine, now))
}

// An agent whose key was refused for a while, on all of its links, gets in soon
// after it no longer is, however often the links have tried meanwhile.
func TestPenaltiesRunOutForWhoComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const outage = 5 * time.Minute
		b := newBook(Limits{Penalties: DefaultPenalties()}.withDefaults())
		home, begun := netip.MustParseAddr("192.0.2.1"), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), outage+b.penalties.Max)
		defer cancel()
		var links sync.WaitGroup
		for range 5 {
			links.Go(func() {
				for wait := backoff.New(backoff.Config{}); ; {
					switch now := time.Now(); {
					case b.keepsOut(home, now):
					case now.Sub(begun) < outage:
						b.add(home, b.penalties.AuthFail, now)
					default:
						return
					}
					if err := wait.Wait(ctx); err != nil {
						t.Errorf("kept out: %v", err)
						return
					}
				}
			})
		}
		links.Wait()
		// What all five add at once, and then each one's wait.
		most := b.penalties.Min + 5*b.penalties.AuthFail + backoff.DefaultMax
		require.LessOrEqual(t, time.Since(begun), outage+most)
	})
}

func TestPenaltiesAreOfSoManySources(t *testing.T) {
	penalties := DefaultPenalties()
	penalties.MaxSources = 100
	b := newBook(Limits{Penalties: penalties}.withDefaults())
	now := time.Now()
	for i := range 1000 {
		b.add(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), time.Minute, now)
		require.LessOrEqual(t, len(b.sources), 100)
	}
	b.add(netip.MustParseAddr("10.1.0.0"), time.Minute, now.Add(2*time.Minute))
	require.Len(t, b.sources, 1, "those that ran out go first")
}

// TestWhoGoesWithoutAWordIsNotKeptOut: so go the connects of an agent that weren't
// the first to come through, all at once when its line is back.
func TestWhoGoesWithoutAWordIsNotKeptOut(t *testing.T) {
	s := startRelay(t, func(c *Config) { c.Limits.Penalties = DefaultPenalties() })
	comeAndGo := func(words string) {
		var conns []net.Conn
		for range 20 {
			conn, err := net.Dial("tcp", s.address)
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		require.Eventually(t, func() bool { return s.relay.startups.strangers() == len(conns) }, patience, time.Millisecond)
		for _, conn := range conns {
			if words != "" {
				_, err := conn.Write([]byte(words))
				require.NoError(t, err)
				// More than a version: the relay has read ours.
				_, err = io.ReadFull(conn, make([]byte, 300))
				require.NoError(t, err)
			}
			require.NoError(t, conn.Close())
		}
		require.Eventually(t, func() bool { return s.relay.startups.strangers() == 0 }, patience, time.Millisecond)
	}
	remote := netip.MustParseAddr("127.0.0.1")
	comeAndGo("")
	require.False(t, s.relay.book.keepsOut(remote, time.Now()))
	comeAndGo("SSH-2.0-scanner\r\n")
	require.True(t, s.relay.book.keepsOut(remote, time.Now()))
}
