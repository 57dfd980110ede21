package netwatch

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"funnel/internal/wan"
)

// patience is how long a test waits for what must happen. It is only ever used
// up by a test that fails.
const patience = 30 * time.Second

// newHost makes a network namespace with a device eth0 that has an IPv4 address.
// Without the rights to, the test is skipped, or fails if everything must run.
func newHost(t *testing.T) *wan.Host {
	t.Helper()
	world, err := wan.New(wan.Options{})
	if err != nil && os.Getenv("FUNNEL_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, world.Close()) })
	host, err := world.Host("home")
	require.NoError(t, err)
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		require.NoError(t, host.Sysctl("net.ipv6.conf.default.disable_ipv6", "0"))
	}
	ip(t, host, "link add eth0 type veth peer name far")
	ip(t, host, "link set far up")
	ip(t, host, "address add 192.0.2.7/24 dev eth0")
	ip(t, host, "link set eth0 up")
	running(t, host)
	return host
}

// running waits until both ends of the veth pair know of each other.
func running(t *testing.T, host *wan.Host) {
	t.Helper()
	require.Eventually(t, func() bool {
		out, err := host.Command(t.Context(), "ip", "-oneline", "link", "show", "up").CombinedOutput()
		require.NoError(t, err, string(out))
		return strings.Count(string(out), "state UP") == 2
	}, patience, 10*time.Millisecond)
}

func ip(t *testing.T, host *wan.Host, args string) {
	t.Helper()
	out, err := host.Command(t.Context(), "ip", strings.Fields(args)...).CombinedOutput()
	require.NoErrorf(t, err, "ip %s: %s", args, out)
}

// observed is a source that says when it has been read first.
type observed struct {
	source
	once  sync.Once
	first chan struct{}
}

func (o *observed) snapshot() (state, error) {
	defer o.once.Do(func() { close(o.first) })
	return o.source.snapshot()
}

// watch runs a Watcher in the host until the test ends.
func watch(t *testing.T, host *wan.Host) *Watcher {
	w := New(slog.New(slog.DiscardHandler))
	o := &observed{first: make(chan struct{})}
	w.open = func(log *slog.Logger) source {
		o.source = openSource(log)
		return o
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- host.Do(func() error { w.Run(ctx); return nil }) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	<-o.first
	require.IsType(t, (*netlink)(nil), o.source)
	return w
}

// requireSeen waits until all of what is wanted has been told, once each and
// nothing else. On a busy machine it may be more than one change.
func requireSeen(t *testing.T, w *Watcher, wanted string) {
	t.Helper()
	left := strings.Split(wanted, "; ")
	for len(left) > 0 {
		select {
		case c := <-w.Changes():
			for _, words := range c.Seen {
				i := slices.Index(left, words)
				require.GreaterOrEqual(t, i, 0, "%q was told, of %q is left %q", c, wanted, left)
				left = slices.Delete(left, i, i+1)
			}
		case <-time.After(patience):
			require.Fail(t, "no change was told", "left: %q", left)
		}
	}
}

// TestEachChangeIsToldOnce: were something told twice, it would be told where
// the next command's is wanted.
func TestEachChangeIsToldOnce(t *testing.T) {
	host := newHost(t)
	w := watch(t, host)
	for _, step := range []struct{ do, seen string }{
		{"address add 192.0.2.8/24 dev eth0", "address 192.0.2.8 added on eth0"},
		{"address add 198.51.100.1 peer 198.51.100.2 dev eth0", "address 198.51.100.1 added on eth0"},
		{"route add default via 192.0.2.1", "default route added"},
		{"route replace default via 192.0.2.2", "default route changed"},
		{"route add 10.0.0.0/8 via 192.0.2.1", "route to 10.0.0.0/8 added"},
		{"address delete 192.0.2.8/24 dev eth0", "address 192.0.2.8 removed on eth0"},
		{"link set eth0 down", "link eth0 down; default route removed; route to 10.0.0.0/8 removed"},
		{"link set eth0 up", "link eth0 up"},
		{"link delete eth0", "address 192.0.2.7 removed on eth0; address 198.51.100.1 removed on eth0"},
	} {
		ip(t, host, step.do)
		requireSeen(t, w, step.seen)
	}
}

// TestNoiseIsNoChange: after all that doesn't matter, what is told is the one
// thing that does.
func TestNoiseIsNoChange(t *testing.T) {
	host := newHost(t)
	w := watch(t, host)
	for _, noise := range []string{
		"neighbour add 192.0.2.50 lladdr 02:00:00:00:00:50 dev eth0",
		"neighbour delete 192.0.2.50 dev eth0",
		"address change 192.0.2.7/24 dev eth0 valid_lft 4000 preferred_lft 4000",
		"address add 127.0.0.9/8 dev lo",
		"address add 203.0.113.9/32 dev lo",
		"address add 169.254.7.7/16 dev eth0",
		"route add 10.0.0.0/8 via 192.0.2.1 table 100",
		"route add local 10.9.9.9/32 dev lo table local",
		"link set eth0 mtu 1400",
		"link add veth1 type veth peer name veth2",
		"link set veth1 up",
		"link set veth2 up",
		"link delete veth1",
	} {
		ip(t, host, noise)
	}
	if _, err := os.Stat("/proc/sys/net/ipv6"); err == nil {
		for _, noise := range []string{
			"neighbour add fe80::50 lladdr 02:00:00:00:00:50 dev eth0",
			"address add fe80::77/64 dev eth0 nodad",
		} {
			ip(t, host, noise)
		}
	}
	// Longer than a look waits, so that it sees the noise without the change.
	time.Sleep(3 * settleTime)
	ip(t, host, "address add 192.0.2.8/24 dev eth0")
	requireSeen(t, w, "address 192.0.2.8 added on eth0")
}

func TestIPv6(t *testing.T) {
	if _, err := os.Stat("/proc/sys/net/ipv6"); err != nil && os.Getenv("FUNNEL_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	host := newHost(t)
	w := watch(t, host)
	for _, step := range []struct{ do, seen string }{
		// Told once it is known to be unique, not before.
		{"address add 2001:db8::7/64 dev eth0", "address 2001:db8::7 added on eth0"},
		{"route add default via 2001:db8::1 dev eth0", "IPv6 default route added"},
		{"route replace default via 2001:db8::2 dev eth0", "IPv6 default route changed"},
		{"route add 2001:db8:1::/48 via 2001:db8::1 dev eth0", "route to 2001:db8:1::/48 added"},
		{"route delete default", "IPv6 default route removed"},
		{"address delete 2001:db8::7/64 dev eth0", "address 2001:db8::7 removed on eth0"},
	} {
		args := step.do
		if strings.HasPrefix(args, "route") {
			args = "-6 " + args
		}
		ip(t, host, args)
		requireSeen(t, w, step.seen)
	}
}

// TestMoreThanCanBeReadIsSurvived: while nobody takes a hint the socket isn't
// read, and overflows.
func TestMoreThanCanBeReadIsSurvived(t *testing.T) {
	host := newHost(t)
	var n *netlink
	require.NoError(t, host.Do(func() (err error) {
		n, err = openNetlink()
		return err
	}))
	defer n.close()
	conn, err := n.file.SyscallConn()
	require.NoError(t, err)
	var failed error
	require.NoError(t, conn.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 16<<10)
	}))
	require.NoError(t, failed)
	var batch strings.Builder
	for i := range 200 {
		fmt.Fprintf(&batch, "address add 192.0.2.%d/24 dev eth0\n", 50+i)
	}
	file := filepath.Join(t.TempDir(), "addresses")
	require.NoError(t, os.WriteFile(file, []byte(batch.String()), 0o600))
	ip(t, host, "-batch "+file)
	hear := func() hint {
		select {
		case h, open := <-n.hints():
			require.True(t, open)
			return h
		case <-time.After(patience):
			require.Fail(t, "no hint")
			return hint{}
		}
	}
	for !hear().lost {
	}
	// It goes on, once what was still queued has been heard.
	drained := false
	for !drained {
		select {
		case <-n.hints():
		case <-time.After(settleTime):
			drained = true
		}
	}
	ip(t, host, "address add 198.51.100.8/24 dev eth0")
	for hear().lost { // the end of what was queued may have come late
	}
}

func TestSleepClockStandsStillWhileAwake(t *testing.T) {
	clock := newSleepClock()
	before := clock()
	time.Sleep(50 * time.Millisecond)
	// Read late, the first shows less; a suspended test machine is none.
	require.InDelta(t, before, clock(), float64(minSleep))
}
