//go:build linux

package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ssh runs OpenSSH's client against the relay with the user's configuration
// left out.
func (r *relay) ssh(t testing.TB, key identity, args ...string) *process {
	t.Helper()
	program := need(t, "ssh")
	all := []string{
		"-F", "none", "-p", r.port, "-i", key.file, "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile=" + r.knownHosts(t), "-o", "StrictHostKeyChecking=yes",
		"-o", "ExitOnForwardFailure=yes",
	}
	all = append(append(all, args...), "tunnel@127.0.0.1")
	return start(t, program, all...)
}

// sshForward runs ssh -N with the given -R options and waits until as many
// forwards are bound as there are options.
func (r *relay) sshForward(t testing.TB, specs ...string) *process {
	t.Helper()
	args := []string{"-N", "-v"}
	for _, spec := range specs {
		args = append(args, "-R", spec)
	}
	p := r.ssh(t, r.key, args...)
	p.expectTimes(`remote forward success|Allocated port`, len(specs))
	return p
}

func TestOpenSSHEchoOverSeveralForwards(t *testing.T) {
	r := startRelay(t)
	echo := serveTCP(t, echoTCP)
	ports := []string{freePort(t), freePort(t), freePort(t)}
	r.sshForward(t, "0.0.0.0:"+ports[0]+":"+echo, "*:"+ports[1]+":"+echo, "localhost:"+ports[2]+":"+echo)
	for _, port := range ports {
		requireEchoAt(t, "127.0.0.1:"+port)
	}
}

func TestOpenSSHBothFamilies(t *testing.T) {
	need(t, "ssh")
	if !hasIPv6() {
		lack(t, "loopback has no IPv6")
	}
	r := startRelay(t)
	echo := serveTCP(t, echoTCP)
	every, star, local, four, six := freePort(t), freePort(t), freePort(t), freePort(t), freePort(t)
	r.sshForward(t, ":"+every+":"+echo, "*:"+star+":"+echo, "localhost:"+local+":"+echo,
		"127.0.0.1:"+four+":"+echo, "[::1]:"+six+":"+echo)
	for _, port := range []string{every, star, local} {
		requireEchoAt(t, "127.0.0.1:"+port)
		requireEchoAt(t, "[::1]:"+port)
	}
	requireEchoAt(t, "127.0.0.1:"+four)
	requireRefusedAt(t, "[::1]:"+four)
	requireEchoAt(t, "[::1]:"+six)
	requireRefusedAt(t, "127.0.0.1:"+six)
}

func TestOpenSSHBulk(t *testing.T) {
	r := startRelay(t)
	port := freePort(t)
	r.sshForward(t, "0.0.0.0:"+port+":"+serveTCP(t, bulkServer(bulkSize())))
	requireBulk(t, "127.0.0.1:"+port, bulkSize())
}

func TestOpenSSHPortZero(t *testing.T) {
	r := startRelay(t)
	p := r.sshForward(t, "0.0.0.0:0:"+serveTCP(t, echoTCP))
	requireEchoAt(t, "127.0.0.1:"+p.expect(`Allocated port (\d+) for remote forward`)[1])
}

func TestOpenSSHCancel(t *testing.T) {
	r := startRelay(t)
	echo := serveTCP(t, echoTCP)
	gone, kept := freePort(t), freePort(t)
	control := filepath.Join(t.TempDir(), "c")
	master := r.ssh(t, r.key, "-N", "-v", "-M", "-S", control, "-R", "0.0.0.0:"+gone+":"+echo, "-R", "0.0.0.0:"+kept+":"+echo)
	master.expectTimes(`remote forward success`, 2)
	carried := dialTCP(t, "127.0.0.1:"+gone)
	require.NoError(t, tryEcho(carried, "before"))

	require.Zero(t, r.ssh(t, r.key, "-S", control, "-O", "cancel", "-R", "0.0.0.0:"+gone+":"+echo).status())
	eventuallyClosedAt(t, "127.0.0.1:"+gone) // ssh wants no answer to that request, and waits for none
	requireEchoAt(t, "127.0.0.1:"+kept)
	require.NoError(t, tryEcho(carried, "what is there already goes on"))

	again := r.ssh(t, r.key, "-S", control, "-O", "forward", "-R", "0.0.0.0:"+gone+":"+echo)
	require.Zero(t, again.status())
	requireEchoAt(t, "127.0.0.1:"+gone)
}

func TestOpenSSHSecondSessionIsRefusedThePort(t *testing.T) {
	r := startRelay(t)
	echo := serveTCP(t, echoTCP)
	port := freePort(t)
	first := r.sshForward(t, "0.0.0.0:"+port+":"+echo)
	second := r.ssh(t, r.key, "-N", "-R", "0.0.0.0:"+port+":"+echo)
	require.Equal(t, 255, second.status())
	require.Contains(t, second.said(), "remote port forwarding failed for listen port "+port)
	requireEchoAt(t, "127.0.0.1:"+port)

	first.kill() // the port is free as soon as the relay sees the end
	eventuallyClosedAt(t, "127.0.0.1:"+port)
	r.sshForward(t, "0.0.0.0:"+port+":"+echo)
	requireEchoAt(t, "127.0.0.1:"+port)
}

func TestOpenSSHKeepsAlive(t *testing.T) {
	// Neither gives the other up when a busy machine keeps it from answering at once.
	r := startRelay(t, "--keepalive-interval", "200ms", "--keepalive-count", "100")
	port := freePort(t)
	p := r.ssh(t, r.key, "-N", "-vvv", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=30",
		"-R", "0.0.0.0:"+port+":"+serveTCP(t, echoTCP))
	// Three answers to what the client asks, which answers what the relay asks.
	p.expectTimes(`receive packet: type 8[12]`, 4)
	p.expectTimes(`client_input_global_request: rtype keepalive@openssh.com`, 3)
	requireEchoAt(t, "127.0.0.1:"+port)
}

func TestOpenSSHGetsNoShellAndNoPasswordPrompt(t *testing.T) {
	r := startRelay(t)
	shell := r.ssh(t, r.key, "-T")
	require.Equal(t, 1, shell.status())
	require.Contains(t, shell.said(), "only forwards ports and has no shell: use ssh -N with -R")
	terminal := r.ssh(t, r.key, "-tt") // who insists on a terminal doesn't get as far as the shell
	require.Equal(t, 255, terminal.status())
	require.Contains(t, terminal.said(), "PTY allocation request failed")
	stranger := r.ssh(t, newIdentity(t), "-N", "-v")
	require.Equal(t, 255, stranger.status())
	require.Contains(t, stranger.said(), "Permission denied (publickey)")
	require.NotRegexp(t, regexp.MustCompile(`(?i)password:|Next authentication method: (password|keyboard)`), stranger.said())
}

func TestOpenSSHExecIsDeclined(t *testing.T) {
	program := need(t, "ssh")
	r := startRelay(t)
	p := start(t, program, "-F", "none", "-p", r.port, "-i", r.key.file, "-o", "UserKnownHostsFile="+r.knownHosts(t),
		"tunnel@127.0.0.1", "uname")
	require.Equal(t, 1, p.status())
	require.Equal(t, "funnel-relay: this relay only forwards ports and has no shell: use ssh -N with -R",
		strings.TrimSpace(p.said()))
}

func TestOpenSSHTargetThatRefuses(t *testing.T) {
	r := startRelay(t)
	port := freePort(t)
	p := r.sshForward(t, "0.0.0.0:"+port+":127.0.0.1:"+freePort(t))
	requireRefusedAt(t, "127.0.0.1:"+port)
	p.expect(`connect_to 127.0.0.1 port \d+: failed`)
}

func TestOpenSSHStaysWithinItsPermits(t *testing.T) {
	r := startRelay(t)
	echo := serveTCP(t, echoTCP)
	allowed, forbidden := freePort(t), freePort(t)
	friend := newIdentity(t)
	r.authorize(t, friend, "--permit", allowed+"/tcp", "--name", "friend")
	p := r.ssh(t, friend, "-N", "-R", "0.0.0.0:"+forbidden+":"+echo)
	require.Equal(t, 255, p.status())
	require.Contains(t, p.said(), "remote port forwarding failed")
	p = r.ssh(t, friend, "-N", "-v", "-R", "0.0.0.0:"+allowed+":"+echo)
	p.expect(`remote forward success`)
	requireEchoAt(t, "127.0.0.1:"+allowed)
}
