//go:build unix

package system

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"funnel/internal/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func loopback(t *testing.T) (*Place, *Targets) {
	t.Helper()
	place := Loopback(t.TempDir(), t.TempDir())
	targets, err := StartTargets(place.Home)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, targets.Close()) })
	return place, targets
}

// needs skips a test whose program is missing, where that is allowed.
func needs(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("FUNNEL_REQUIRE_ALL") != "" {
			require.NoError(t, err)
		}
		t.Skip(err)
	}
}

// reach asks for an echo over everything that the system carries.
func reach(t *testing.T, place *Place, running *Running) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if running.UDP != "" {
		conn, err := place.Dial(ctx, "udp", running.UDP)
		require.NoError(t, err)
		defer conn.Close()
		err = probe.ReachUDP(ctx, conn, 100)
		require.NoError(t, err)
	}
	if running.TCP != "" {
		conn, err := place.Dial(ctx, "tcp", running.TCP)
		require.NoError(t, err)
		defer conn.Close()
		err = probe.ReachTCP(ctx, conn, 100)
		require.NoError(t, err)
		// A busy machine may move nothing for as long as a short one takes.
		for duration := 200 * time.Millisecond; ; duration *= 2 {
			bulk, err := place.Dial(ctx, "tcp", running.Bulk)
			require.NoError(t, err)
			short, cancel := context.WithTimeout(ctx, duration)
			transfer, err := probe.Bulk(short, bulk, probe.Download, 0)
			cancel()
			bulk.Close()
			require.NoError(t, err)
			if transfer.Bytes > 0 {
				break
			}
			require.NoError(t, ctx.Err(), "nothing came")
		}
	}
}

// gone waits until the process doesn't exist.
func gone(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		// A zombie that nobody waits for is as good as gone.
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return syscall.Kill(pid, 0) != nil || err == nil && strings.Contains(string(stat), ") Z ")
	}, 30*time.Second, 10*time.Millisecond)
}

func TestInProcess(t *testing.T) {
	place, targets := loopback(t)
	for _, s := range []*System{Direct(), Forwarder()} {
		running, err := s.Start(t.Context(), place, targets)
		require.NoError(t, err)
		reach(t, place, running)
		require.NoError(t, running.Failed())
		running.Stop()
	}
}

func TestOpenSSH(t *testing.T) {
	needs(t, "ssh")
	if _, err := findSSHD(); err != nil && os.Getenv("FUNNEL_REQUIRE_ALL") == "" {
		t.Skip(err)
	}
	place, targets := loopback(t)
	for _, cipher := range []string{"", "aes128-gcm@openssh.com"} {
		running, err := OpenSSH("ssh", "", cipher).Start(t.Context(), place, targets)
		require.NoError(t, err)
		reach(t, place, running)
		require.Positive(t, running.Relay.Usage().Memory)
		running.Stop()
		gone(t, running.Relay.Pid())
		gone(t, running.Agent.Pid())
	}
}

// described carries TCP by socat: on loopback home is reachable from the VPS.
const described = `
name: socat
what: socat straight to home
tcp: true
server: [sh, "{dir}/run.sh"]
client: [sleep, "1000"]
settle: 300ms
files:
  run.sh: |
    socat TCP4-LISTEN:{bulk},bind={public},nodelay,fork,reuseaddr TCP4:127.0.0.1:{bulk_target},nodelay &
    echo $! > {dir}/pid
    exec socat TCP4-LISTEN:{tcp},bind={public},nodelay,fork,reuseaddr TCP4:127.0.0.1:{tcp_target},nodelay
`

func readDescribed(t *testing.T, text string) (*Description, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tunnel.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return ReadDescription(path)
}

func TestDescribed(t *testing.T) {
	needs(t, "socat")
	place, targets := loopback(t)
	d, err := readDescribed(t, described)
	require.NoError(t, err)
	running, err := d.System().Start(t.Context(), place, targets)
	require.NoError(t, err)
	for _, address := range []string{running.TCP, running.Bulk} { // a busy machine may not have settled yet
		require.Eventually(t, func() bool {
			conn, err := place.Dial(t.Context(), "tcp", address)
			if err == nil {
				conn.Close()
			}
			return err == nil
		}, 30*time.Second, 10*time.Millisecond)
	}
	reach(t, place, running)
	text, err := os.ReadFile(filepath.Join(place.Dir, "socat", "pid"))
	require.NoError(t, err)
	grandchild, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	running.Stop()
	for _, pid := range []int{running.Relay.Pid(), running.Agent.Pid(), grandchild} {
		gone(t, pid)
	}
}

func TestDescribedWrong(t *testing.T) {
	for text, wants := range map[string]string{
		"name: A b\nserver: [x]\nclient: [x]\ntcp: true":               "small letters",
		"name: a\nclient: [x]\ntcp: true":                              "server is missing",
		"name: a\nserver: [x]\ntcp: true":                              "client is missing",
		"name: a\nserver: [x]\nclient: [x]":                            "udp: true",
		"name: a\nserver: [x, \"{prot}\"]\nclient: [x]\ntcp: true":     "no placeholder {prot}",
		"name: a\nserver: [x]\nclient: [x]\ntcp: true\nservr: 1":       "servr",
		"name: a\nserver: [x]\nclient: [x]\ntcp: true\nfiles: {/x: y}": "within {dir}",
	} {
		_, err := readDescribed(t, text)
		require.ErrorContains(t, err, wants)
	}
}

// TestFailingStart leaves nothing behind and says what the program said.
func TestFailingStart(t *testing.T) {
	place, targets := loopback(t)
	d, err := readDescribed(t, "name: a\nserver: [sleep, \"1000\"]\nclient: [sh, -c, \"echo no such tunnel; exit 3\"]\nudp: true\nsettle: 20s")
	require.NoError(t, err)
	var server *Process
	s := &System{start: func(ctx context.Context, place *Place, targets *Targets, running *Running) error {
		err := d.start(ctx, place, targets, running)
		server = running.Relay
		return err
	}}
	_, err = s.Start(t.Context(), place, targets)
	require.ErrorContains(t, err, "no such tunnel")
	gone(t, server.Pid())

	d.Client[0] = "no-such-program"
	_, err = d.System().Start(t.Context(), place, targets)
	require.ErrorIs(t, err, ErrMissing)
}

// TestStubborn: what doesn't end when asked is killed.
func TestStubborn(t *testing.T) {
	place, _ := loopback(t)
	p, err := start(place, place.VPS, "stubborn", "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return strings.Contains(p.text.String(), "up")
	}, 30*time.Second, 10*time.Millisecond)
	p.Stop()
	gone(t, p.Pid())
}

func TestFreePort(t *testing.T) {
	place, _ := loopback(t)
	port, err := freePort(place.VPS, place.Public)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
	require.NoError(t, err)
	require.NoError(t, listener.Close())
}
