package agent

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeLink is a link that may be in doubt.
type fakeLink struct{ doubted time.Time }

func (l *fakeLink) doubtedSince() (time.Time, bool) { return l.doubted, !l.doubted.IsZero() }

// testUptime is an uptime and what it logs from Info on.
func testUptime() (*uptime, *bytes.Buffer) {
	var text bytes.Buffer
	return newUptime(slog.New(slog.NewTextHandler(&text, nil))), &text
}

func stateOf(u *uptime) State {
	var state State
	u.tell(&state)
	return state
}

// settle makes the present link older than settled.
func (u *uptime) settle() { u.since = u.since.Add(-2 * settled) }

func TestUptimeRemembersOutages(t *testing.T) {
	u, text := testUptime()
	require.False(t, stateOf(u).Connected)
	first, second := &fakeLink{}, &fakeLink{}
	u.up(first)
	require.True(t, stateOf(u).Connected)
	u.settle()

	u.down(first, io.EOF)
	state := stateOf(u)
	require.False(t, state.Connected)
	require.Len(t, state.Outages, 1)
	require.False(t, state.Outages[0].Over)
	require.Equal(t, "the relay closed the connection", state.Outages[0].Cause)
	for range 3 {
		u.lost(errors.New("connection refused"), time.Second)
	}
	require.Equal(t, 1, strings.Count(text.String(), "no link to the relay"), "once, however many tries")

	u.up(second)
	state = stateOf(u)
	require.True(t, state.Connected)
	require.Equal(t, 1, state.Reconnects)
	require.True(t, state.Outages[0].Over)
	require.Equal(t, 1, strings.Count(text.String(), "connected to the relay again"))
	require.Contains(t, text.String(), `cause="the relay closed the connection"`)
}

func TestUptimeCountsFromTheFirstDoubt(t *testing.T) {
	u, _ := testUptime()
	old := &fakeLink{}
	u.up(old)
	u.settle()
	old.doubted = time.Now().Add(-3 * time.Second)
	u.down(old, errors.New("use of closed network connection"))
	u.up(&fakeLink{})
	state := stateOf(u)
	require.Equal(t, "no sign of life from the relay", state.Outages[0].Cause)
	require.GreaterOrEqual(t, state.Outages[0].Away, 3.0)
}

// TestUptimeOfLanes: one lane of several is no outage, unless the others may be
// dead, too.
func TestUptimeOfLanes(t *testing.T) {
	u, text := testUptime()
	a, b := &fakeLink{}, &fakeLink{}
	u.up(a)
	u.up(b)
	u.settle()
	u.down(a, io.EOF)
	u.lost(io.EOF, 0)
	require.True(t, stateOf(u).Connected)
	require.Empty(t, text.String())
	u.up(a)
	require.Zero(t, stateOf(u).Reconnects)

	a.doubted, b.doubted = time.Now(), time.Now()
	u.down(a, io.EOF)
	require.False(t, stateOf(u).Connected)
	u.up(&fakeLink{})
	u.down(b, io.EOF)
	state := stateOf(u)
	require.True(t, state.Connected)
	require.Equal(t, 1, state.Reconnects)
}

// TestUptimeTellsFlappingOnce: a relay that drops each link at once is one
// trouble.
func TestUptimeTellsFlappingOnce(t *testing.T) {
	u, text := testUptime()
	link := &fakeLink{}
	u.up(link)
	u.settle()
	for range 10 {
		u.down(link, io.EOF)
		u.lost(io.EOF, 0)
		u.up(link)
	}
	require.Equal(t, 1, strings.Count(text.String(), "no link to the relay"))
	require.Equal(t, 1, strings.Count(text.String(), "connected to the relay again"))
	state := stateOf(u)
	require.Len(t, state.Outages, 1)
	require.Equal(t, 1, state.Reconnects)

	u.settle()
	u.down(link, io.EOF)
	u.lost(io.EOF, 0)
	u.up(link)
	require.Equal(t, 2, strings.Count(text.String(), "connected to the relay again"), "another trouble")
}

// TestUptimeTellsAReasonOnce: one that differs in addresses alone is no other.
func TestUptimeTellsAReasonOnce(t *testing.T) {
	u, text := testUptime()
	for _, reason := range []string{
		"read tcp 127.0.0.1:42766->127.0.0.1:2222: read: connection reset by peer",
		"read tcp 127.0.0.1:42768->127.0.0.1:2222: read: connection reset by peer",
		"read tcp [::1]:42770->[fe80::1%eth0]:2222: read: connection reset by peer",
	} {
		u.lost(errors.New(reason), 0)
	}
	require.Equal(t, 1, strings.Count(text.String(), "no link to the relay"), text)
	require.Contains(t, text.String(), "127.0.0.1:42766", "it is said whole")
	require.NotContains(t, text.String(), "retry_in", "it is tried again at once")
	u.lost(errors.New("read tcp 127.0.0.1:42772->127.0.0.1:2222: i/o timeout"), time.Second)
	require.Equal(t, 2, strings.Count(text.String(), "no link to the relay"), text)
	require.Contains(t, text.String(), "retry_in=1s")
}

func TestUptimeForgetsTheOldest(t *testing.T) {
	u, _ := testUptime()
	link := &fakeLink{}
	u.up(link)
	for range 3 * maxOutages {
		u.settle()
		u.down(link, io.EOF)
		u.up(link)
	}
	state := stateOf(u)
	require.Len(t, state.Outages, maxOutages)
	require.Equal(t, 3*maxOutages, state.Reconnects)
}
