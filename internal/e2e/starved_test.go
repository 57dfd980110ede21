//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// starve leaves a process the descriptors that it has, and no more, until the
// function that is returned gives them back.
func (p *process) starve() (feed func()) {
	p.t.Helper()
	var before unix.Rlimit
	require.NoError(p.t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &before))
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	less := before
	less.Cur = uint64(len(open))
	require.NoError(p.t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &less, nil))
	return func() {
		p.t.Helper()
		require.NoError(p.t, unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_NOFILE, &before, nil))
	}
}

// TestRelayWithoutDescriptors: what is there goes on, who comes waits, and the log
// has a line.
func TestRelayWithoutDescriptors(t *testing.T) {
	r := startRelay(t)
	target, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	a := r.startAgent(t, "--tcp", freePort(t)+":"+target, "--udp", freePort(t)+":"+udp, "--lanes", "1")
	public := a.public("tcp", target)
	client := dialTCP(t, public)
	require.NoError(t, tryEcho(client, "before"))
	player := dialUDP(t, a.public("udp", udp))
	exchange(t, player, []byte("before"))

	feed := r.starve()
	var waiting []net.Conn
	for range 5 {
		waiting = append(waiting, dialTCP(t, public))
	}
	r.expect(`level=ERROR msg="accept connections" .*too many open files`)
	// A file of the operator's that can't be read for want of a descriptor takes
	// nobody's access away.
	keys, err := os.OpenFile(filepath.Join(r.state, "authorized_keys"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = keys.WriteString("# a line that says nothing\n")
	require.NoError(t, err)
	require.NoError(t, keys.Close())
	for begun := time.Now(); time.Since(begun) < time.Second; { // several looks at the file
		require.NoError(t, tryEcho(client, "meanwhile"))
		exchange(t, player, []byte("meanwhile"))
	}
	feed()
	for _, conn := range waiting {
		require.NoError(t, tryEcho(conn, "after"))
	}
	require.NoError(t, tryEcho(client, "after"))
	require.Eventually(t, func() bool {
		requireEchoAt(t, public)
		return strings.Contains(r.said(), "connections are accepted again")
	}, patience, 50*time.Millisecond)
	require.Equal(t, 1, strings.Count(r.said(), `msg="accept connections"`))
	require.NotContains(t, r.said(), "access revoked")
	require.Equal(t, 1, strings.Count(a.said(), "funnel is up"))
}

// TestAgentWithoutDescriptors: what is there goes on, new clients are turned away,
// and the log doesn't have a line for each.
func TestAgentWithoutDescriptors(t *testing.T) {
	r := startRelay(t)
	target, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	a := r.startAgent(t, "--tcp", freePort(t)+":"+target, "--udp", freePort(t)+":"+udp, "--lanes", "1")
	public, publicUDP := a.public("tcp", target), a.public("udp", udp)
	client := dialTCP(t, public)
	require.NoError(t, tryEcho(client, "before"))
	player := dialUDP(t, publicUDP)
	exchange(t, player, []byte("before"))

	feed := a.starve()
	for range 20 {
		_, err := dialUDP(t, publicUDP).Write([]byte("is anybody there?"))
		require.NoError(t, err)
	}
	a.expect(`level=WARN msg="flow has no socket" .*too many open files`)
	for range 20 {
		conn, err := net.Dial("tcp", public)
		if err == nil {
			_ = tryEcho(conn, "meanwhile") // fails, unless a descriptor was left
			conn.Close()
		}
	}
	a.expect(`level=WARN msg="target doesn't take connections.*too many open files`)
	require.NoError(t, tryEcho(client, "meanwhile"))
	exchange(t, player, []byte("meanwhile"))
	feed()
	eventuallyEchoAt(t, public)
	requireUDPEchoAt(t, publicUDP)
	require.NoError(t, tryEcho(client, "after"))
	exchange(t, player, []byte("after"))
	require.Equal(t, 1, strings.Count(a.said(), "flow has no socket"))
	require.LessOrEqual(t, strings.Count(a.said(), "target doesn't take connections"), 10)
	require.Equal(t, 1, strings.Count(a.said(), "funnel is up"))
}
