//go:build linux

package e2e

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	state "funnel/internal/agent"
)

// askState asks an agent at its socket, as a script would.
func (a *agent) askState(directory string) (told state.State) {
	a.t.Helper()
	path := filepath.Join(directory, "agent-"+strconv.Itoa(a.cmd.Process.Pid)+".sock")
	conn, err := net.Dial("unix", path)
	require.NoError(a.t, err)
	defer conn.Close()
	text, err := io.ReadAll(conn)
	require.NoError(a.t, err)
	require.NoError(a.t, json.Unmarshal(text, &told))
	return told
}

// stateDir is a directory whose path leaves room for a socket's name.
func stateDir(t testing.TB) string {
	directory, err := os.MkdirTemp("", "s")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(directory) })
	return directory
}

func TestStatus(t *testing.T) {
	r := startRelay(t)
	directory := stateDir(t)
	ask := func(flags ...string) *process {
		return start(t, filepath.Join(programs, "funnel-agent"), append([]string{"status", "--state-dir", directory}, flags...)...)
	}
	p := ask()
	require.Equal(t, 1, p.status())
	require.Contains(t, p.said(), "no agent runs with its state in "+directory)

	tcp, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	a := r.startAgent(t, "--state-dir", directory, "--tcp", freePort(t)+":"+tcp, "--udp", freePort(t)+":"+udp, "--lanes", "2")
	client := dialTCP(t, a.public("tcp", tcp))
	require.NoError(t, tryEcho(client, "hello"))
	exchange(t, dialUDP(t, a.public("udp", udp)), []byte("hello"))
	require.Eventually(t, func() bool {
		told := a.askState(directory)
		return told.Lanes != nil && len(told.Lanes.Up) == 2
	}, patience, 10*time.Millisecond)
	told := a.askState(directory)
	require.True(t, told.Connected)
	require.Zero(t, told.Reconnects)
	require.Equal(t, a.cmd.Process.Pid, told.PID)
	require.Equal(t, r.address, told.Link.Remote)
	require.Positive(t, told.Link.RTT)
	require.Positive(t, told.Lanes.Up[0].RTT)
	require.Equal(t, 1, told.TCPConns)
	require.Equal(t, 1, told.UDPFlows)
	require.Equal(t, tcp, told.Forwards[0].Target)
	p = ask()
	require.Zero(t, p.status(), p.said())
	require.Contains(t, p.said(), "2 of 2 up")
	require.Contains(t, p.said(), "1 TCP connection, 1 UDP flow")

	r.kill()
	require.Eventually(t, func() bool { return !a.askState(directory).Connected }, patience, 10*time.Millisecond)
	r.run(t)
	a.expect(`level=INFO msg="connected to the relay again" away=\S+ cause=`)
	p = ask("--json")
	require.Zero(t, p.status(), p.said())
	require.NoError(t, json.Unmarshal([]byte(p.said()), &told))
	require.True(t, told.Connected)
	require.Equal(t, 1, told.Reconnects)
	require.NotEmpty(t, told.Outages[0].Cause)

	a.kill()
	require.Equal(t, 1, ask().status())
	sockets, err := filepath.Glob(filepath.Join(directory, "*.sock"))
	require.NoError(t, err)
	require.Empty(t, sockets, "of a dead agent")
}

// TestStatusOfLanesAlone: an agent that carries UDP alone is away when no lane is
// left, and says so once.
func TestStatusOfLanesAlone(t *testing.T) {
	r := startRelay(t)
	directory, udp := stateDir(t), udpEcho(t).String()
	a := r.startAgent(t, "--state-dir", directory, "--udp", freePort(t)+":"+udp)
	require.Eventually(t, func() bool { return len(a.askState(directory).Lanes.Up) == 4 }, patience, 10*time.Millisecond)
	r.kill()
	require.Eventually(t, func() bool { return !a.askState(directory).Connected }, patience, 10*time.Millisecond)
	r.run(t)
	require.Eventually(t, func() bool { return len(a.askState(directory).Lanes.Up) == 4 }, patience, 10*time.Millisecond)
	told := a.askState(directory)
	require.True(t, told.Connected)
	require.Nil(t, told.Link)
	require.Equal(t, 1, told.Reconnects)
	a.expect(`connected to the relay again`)
	require.Equal(t, 1, strings.Count(a.said(), "connected to the relay again"))
	requireUDPEchoAt(t, a.public("udp", udp))
}
