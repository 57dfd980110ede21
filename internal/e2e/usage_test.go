//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// resident is the memory of a process, in bytes.
func (p *process) resident() int64 {
	p.t.Helper()
	return p.memory("VmRSS")
}

// memory is a field of proc_pid_status(5) that is in kB, in bytes.
func (p *process) memory(field string) int64 {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(p.t, err)
			return kib << 10
		}
	}
	require.Fail(p.t, "not in /proc", field)
	return 0
}

// ticks is the processor time that a process has used, in the kernel's USER_HZ,
// 10 ms everywhere (proc_pid_stat(5), utime and stime).
func (p *process) ticks() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	require.NoError(p.t, err)
	// The name in brackets may hold spaces; utime is the 12th field after it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	require.NoError(p.t, err)
	system, err := strconv.Atoi(fields[12])
	require.NoError(p.t, err)
	return user + system
}

// TestIdleCost: ten idle flows cost next to nothing.
func TestIdleCost(t *testing.T) {
	r := startRelay(t)
	udp, tcp := udpEcho(t).String(), serveTCP(t, echoTCP)
	a := r.startAgent(t, "--udp", "0:"+udp, "--tcp", "0:"+tcp)
	public := a.public("udp", udp)
	for range 10 {
		exchange(t, dialUDP(t, public), []byte("one of ten"))
	}
	requireEchoAt(t, a.public("tcp", tcp))
	time.Sleep(time.Second) // the start is over

	measure(t, func(t testing.TB) {
		const span = 5 * time.Second
		relayBefore, agentBefore := r.ticks(), a.ticks()
		time.Sleep(span)
		relayTicks, agentTicks := r.ticks()-relayBefore, a.ticks()-agentBefore
		t.Logf("in %v idle: relay %d ticks, agent %d ticks of 10 ms; resident: relay %.1f MB, agent %.1f MB",
			span, relayTicks, agentTicks, float64(r.resident())/1e6, float64(a.resident())/1e6)
		require.LessOrEqual(t, relayTicks, 2)
		require.LessOrEqual(t, agentTicks, 2)
	})
	require.Less(t, r.resident(), int64(25e6))
	require.Less(t, a.resident(), int64(25e6))
}
