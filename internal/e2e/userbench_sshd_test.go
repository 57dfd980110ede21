//go:build linux

package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/checkup"
)

// bench runs funnel-agent bench and returns its result.
func (s *sshd) bench(t *testing.T) *checkup.Result {
	t.Helper()
	command := exec.Command(filepath.Join(programs, "funnel-agent"), "bench", "--json", "--duration", time.Second.String(),
		"--identity", s.key.file, "--host-key", ssh.FingerprintSHA256(s.host.signer.PublicKey()), "--state-dir", t.TempDir(),
		s.user+"@127.0.0.1:"+s.port)
	isolate(t, command)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	require.NoError(t, command.Run(), stderr.String())
	result := new(checkup.Result)
	require.NoError(t, json.Unmarshal(stdout.Bytes(), result))
	return result
}

// TestBenchOfAStockSSHD: what can be measured without test ports and UDP is.
func TestBenchOfAStockSSHD(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	result := s.bench(t)
	require.Equal(t, checkup.NoUDP, result.Verdict[0].Fault)
	require.Len(t, result.Notes, 2, "%q", result.Notes)
	require.Contains(t, result.Notes[0], "isn't measured: the SSH server there can't carry UDP")
	require.Contains(t, result.Notes[1], "isn't funnel-relay and has no test ports")
	require.NotNil(t, result.Kernel)
	require.Len(t, result.Conditions, 2)
	for i, load := range []checkup.Load{checkup.Quiet, checkup.Through} {
		require.Equal(t, load, result.Conditions[i].Load)
		require.Positive(t, wayOf(t, &result.Conditions[i], checkup.FunnelTCP).Summary.Received)
	}
	require.Positive(t, result.Conditions[1].Bulk)
}

// TestBenchOfAnSSHDThatForwardsNothing: it says so, rather than blame a firewall.
func TestBenchOfAnSSHDThatForwardsNothing(t *testing.T) {
	result := startSSHD(t, "AllowTcpForwarding no").bench(t)
	require.Equal(t, checkup.Refused, result.Verdict[0].Fault)
	require.Contains(t, result.Notes[0], "AllowTcpForwarding forbids it")
}
