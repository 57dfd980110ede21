//go:build linux

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestKilledRelayIsFoundAgain(t *testing.T) {
	r := startRelay(t)
	tcp, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	a := r.startAgent(t, "--tcp", freePort(t)+":"+tcp, "--udp", freePort(t)+":"+udp)
	publicTCP, publicUDP := a.public("tcp", tcp), a.public("udp", udp)
	requireEchoAt(t, publicTCP)
	exchange(t, dialUDP(t, publicUDP), []byte("before"))
	for range 2 {
		r.kill()
		r.run(t)
		eventuallyEchoAt(t, publicTCP)
		requireUDPEchoAt(t, publicUDP)
	}
}

// TestKilledRelayNeedsNoSecondLogin before UDP is back: what the relay has
// forgotten is begun anew on the connection there is.
func TestKilledRelayNeedsNoSecondLogin(t *testing.T) {
	r := startRelay(t)
	udp := udpEcho(t).String()
	a := r.startAgent(t, "--udp", freePort(t)+":"+udp)
	public := a.public("udp", udp)
	r.kill()
	r.run(t)
	requireUDPEchoAt(t, public)
	a.expect(`relay has forgotten the udp session`)
	require.NotContains(t, a.said(), "refused the lane")
}

// requireUDPEchoAt is for an address that may be down: each try is a new
// client.
func requireUDPEchoAt(t testing.TB, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("udp", address)
		if err != nil {
			return false
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("again")); err != nil {
			return false
		}
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := conn.Read(make([]byte, 64))
		return err == nil && n == len("again")
	}, patience, 20*time.Millisecond, "nothing echoes at %s", address)
}

func TestKilledAgentGetsItsPortsBack(t *testing.T) {
	r := startRelay(t)
	tcp, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	flags := []string{"--tcp", freePort(t) + ":" + tcp, "--udp", freePort(t) + ":" + udp}
	a := r.startAgent(t, flags...)
	publicTCP, publicUDP := a.public("tcp", tcp), a.public("udp", udp)
	exchange(t, dialUDP(t, publicUDP), []byte("before"))
	a.kill()
	begun := time.Now()
	a = r.startAgent(t, flags...)
	require.Equal(t, publicTCP, a.public("tcp", tcp))
	require.Equal(t, publicUDP, a.public("udp", udp))
	requireEchoAt(t, publicTCP)
	exchange(t, dialUDP(t, publicUDP), []byte("after"))
	t.Logf("a new agent had the ports of a killed one after %v", time.Since(begun).Round(time.Millisecond))
}

func TestTargetDownAndUpAgain(t *testing.T) {
	r := startRelay(t)
	target := "127.0.0.1:" + freePort(t)
	public := r.startAgent(t, "--tcp", "0:"+target).public("tcp", target)
	for range 2 {
		requireRefusedAt(t, public)
		listener, err := net.Listen("tcp", target)
		require.NoError(t, err)
		stop := serveOn(t, listener, echoTCP)
		requireEchoAt(t, public)
		stop()
	}
	requireRefusedAt(t, public)
}

// TestOutputThatNobodyReads, as in funnel-agent | head -n1, ends neither program.
func TestOutputThatNobodyReads(t *testing.T) {
	r := startRelay(t)
	r.kill()
	reader, unread, err := os.Pipe()
	require.NoError(t, err)
	defer unread.Close()
	require.NoError(t, reader.Close())
	run := func(program string, args ...string) *process {
		command := exec.Command(filepath.Join(programs, program), args...)
		command.Stdout = unread
		return startCommand(t, command)
	}
	serve := func() *process { return run("funnel-relay", "serve", "--listen", r.address, "--state-dir", r.state) }
	relay := serve()
	public := freePort(t)
	run("funnel-agent", "--identity", r.key.file, "--host-key", r.fingerprint, "--state-dir", t.TempDir(),
		"--tcp", public+":"+serveTCP(t, echoTCP), r.address)
	eventuallyEchoAt(t, "127.0.0.1:"+public)
	relay.kill()
	serve()
	eventuallyEchoAt(t, "127.0.0.1:"+public)
}
