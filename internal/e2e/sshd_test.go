//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// sshd is OpenSSH's server with a configuration of its own.
type sshd struct {
	*process
	port string
	key  identity // may log in
	host identity
	user string
}

// startSSHD starts one on loopback, with further lines of configuration.
func startSSHD(t testing.TB, lines string) *sshd {
	t.Helper()
	program := need(t, "sshd")
	if os.Geteuid() != 0 {
		lack(t, "sshd logs people in only as root")
	}
	me, err := user.Current()
	require.NoError(t, err)
	// Where sshd puts processes that have no rights; the packages' service
	// makes it at boot.
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	s := &sshd{port: freePort(t), key: newIdentity(t), host: newIdentity(t), user: me.Username}
	directory := t.TempDir()
	config := filepath.Join(directory, "sshd_config")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `ListenAddress 127.0.0.1:%s
HostKey %s
AuthorizedKeysFile %s.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
Subsystem sftp internal-sftp
%s
`, s.port, s.host.file, s.key.file, lines), 0o600))
	s.process = start(t, program, "-D", "-e", "-f", config)
	s.expect(`Server listening on`)
	return s
}

// launchAgent starts an agent that logs in to the sshd.
func (s *sshd) launchAgent(t testing.TB, flags ...string) *agent {
	t.Helper()
	args := []string{"--identity", s.key.file, "--host-key", ssh.FingerprintSHA256(s.host.signer.PublicKey()), "--state-dir", t.TempDir()}
	args = append(append(args, flags...), s.user+"@127.0.0.1:"+s.port)
	return &agent{start(t, filepath.Join(programs, "funnel-agent"), args...)}
}

func TestSSHDEcho(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	echo := serveTCP(t, echoTCP)
	every, local := freePort(t), freePort(t)
	a := s.launchAgent(t, "--tcp", every+":"+echo, "--tcp", "127.0.0.1:"+local+":"+echo, "--tcp", "0:"+echo)
	a.expect(`funnel is up: `)
	requireEchoAt(t, "127.0.0.1:"+every)
	requireEchoAt(t, "127.0.0.1:"+local)
	if hasIPv6() {
		requireEchoAt(t, "[::1]:"+every)
		requireRefusedAt(t, "[::1]:"+local)
	}
}

func TestSSHDPortZero(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	echo := serveTCP(t, echoTCP)
	a := s.launchAgent(t, "--tcp", "0:"+echo)
	a.expect(`funnel is up: `)
	requireEchoAt(t, a.public("tcp", echo))
}

func TestSSHDBulk(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	target := serveTCP(t, bulkServer(bulkSize()))
	a := s.launchAgent(t, "--tcp", "0:"+target)
	a.expect(`funnel is up: `)
	requireBulk(t, a.public("tcp", target), bulkSize())
}

func TestSSHDRefusesThePort(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	echo := serveTCP(t, echoTCP)
	a := s.launchAgent(t, "--tcp", "127.0.0.1:"+port+":"+echo, "--tcp", "127.0.0.1:0:"+echo)
	a.expect(`(?m)^  tcp  127\.0\.0\.1:` + port + ` +refused: the SSH server gave no reason; perhaps the port is taken`)
	requireEchoAt(t, a.public("tcp", echo))

	strict := s.launchAgent(t, "--exit-on-forward-failure", "--tcp", "127.0.0.1:"+port+":"+echo)
	require.Equal(t, 5, strict.status())
	require.Contains(t, strict.said(), "perhaps the port is taken")
}

func TestSSHDWithoutGatewayPorts(t *testing.T) {
	s := startSSHD(t, "GatewayPorts no")
	a := s.launchAgent(t, "--tcp", freePort(t)+":"+serveTCP(t, echoTCP))
	a.expect(`funnel is up: `)
	a.expect(`set GatewayPorts clientspecified in its sshd_config`)
}

func TestSSHDHasNoUDP(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	target := serveTCP(t, echoTCP)
	a := s.launchAgent(t, "--tcp", "127.0.0.1:0:"+target, "--udp", "27015")
	a.expect(`(?m)^  udp +\S+ +refused: .*funnel-relay`)
	requireEchoAt(t, a.public("tcp", target))

	alone := s.launchAgent(t, "--udp", "27015")
	require.Equal(t, 5, alone.status())
	require.Contains(t, alone.said(), "funnel-relay")
}

func TestSSHDTargetThatRefuses(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	nobody := "127.0.0.1:" + freePort(t)
	a := s.launchAgent(t, "--tcp", "0:"+nobody)
	a.expect(`funnel is up: `)
	// sshd ends the client's connection in order; a reset is funnel-relay's.
	_, err := io.Copy(io.Discard, dialTCP(t, a.public("tcp", nobody)))
	var network net.Error
	require.False(t, errors.As(err, &network) && network.Timeout(), "%v", err)
	a.kill()
	s.expect(`the target refused the connection`)
}

func TestSSHDRestarts(t *testing.T) {
	s := startSSHD(t, "GatewayPorts clientspecified")
	echo := serveTCP(t, echoTCP)
	public := "127.0.0.1:" + freePort(t)
	_, port, err := net.SplitHostPort(public)
	require.NoError(t, err)
	a := s.launchAgent(t, "--tcp", port+":"+echo)
	a.expect(`funnel is up: `)
	requireEchoAt(t, public)
	// The server's processes: the listener, and the session's, which forwards.
	s.kill()
	again := start(t, s.cmd.Path, s.cmd.Args[1:]...)
	again.expect(`Server listening on`)
	eventuallyEchoAt(t, public)
}
