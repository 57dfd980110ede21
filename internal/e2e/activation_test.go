//go:build linux

package e2e

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// manager holds a relay's listening socket, and is told how the relay fares, as
// systemd does.
type manager struct {
	socket *os.File
	notify *net.UnixConn
}

func newManager(t *testing.T) *manager { return newManagerAt(t, filepath.Join(stateDir(t), "notify")) }

// newManagerAt is newManager with the name of the socket that is to be told.
func newManagerAt(t *testing.T, name string) *manager {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	require.NoError(t, err)
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() {
		socket.Close()
		notify.Close()
	})
	return &manager{socket, notify}
}

// start starts a relay with the socket. LISTEN_PID must be the relay's own number,
// which the shell becomes.
func (m *manager) start(t *testing.T, r *relay) {
	command := exec.Command(need(t, "sh"), "-c", `export LISTEN_PID=$$; exec "$@"`, "sh",
		filepath.Join(programs, "funnel-relay"), "serve", "--listen", "192.0.2.1:1", "--state-dir", r.state)
	command.Env = []string{"LISTEN_FDS=1", "NOTIFY_SOCKET=" + m.notify.LocalAddr().String()}
	command.ExtraFiles = []*os.File{m.socket}
	r.process = startCommand(t, command)
	r.address = r.expect(`listening on (\S+)`)[1]
	r.fingerprint = r.expect(`host key (SHA256:\S+)`)[1]
}

// told is what the relay says next.
func (m *manager) told(t *testing.T) string {
	require.NoError(t, m.notify.SetReadDeadline(time.Now().Add(patience)))
	buffer := make([]byte, 256)
	n, err := m.notify.Read(buffer)
	require.NoError(t, err)
	return string(buffer[:n])
}

// waiting is how many connections wait to be accepted.
func (m *manager) waiting(t *testing.T) int {
	info, err := unix.GetsockoptTCPInfo(int(m.socket.Fd()), unix.IPPROTO_TCP, unix.TCP_INFO)
	require.NoError(t, err)
	return int(info.Unacked) // of a listening socket, see tcp_get_info of the kernel
}

// TestRestartOfARelayRefusesNobody: the socket stays with the service manager, so
// that agents wait in its queue until the new relay takes them.
func TestRestartOfARelayRefusesNobody(t *testing.T) {
	m := newManager(t)
	r := &relay{state: t.TempDir(), key: newIdentity(t)}
	r.authorize(t, r.key)
	m.start(t, r)
	require.Equal(t, "READY=1", m.told(t))
	tcp, udp := serveTCP(t, echoTCP), udpEcho(t).String()
	a := r.startAgent(t, "--tcp", freePort(t)+":"+tcp, "--udp", freePort(t)+":"+udp, "--log-level", "debug")
	publicTCP, publicUDP := a.public("tcp", tcp), a.public("udp", udp)
	for round := range 2 {
		require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
		require.Zero(t, r.status())
		require.Equal(t, "STOPPING=1", m.told(t))
		require.Eventually(t, func() bool { return m.waiting(t) > 0 }, patience, time.Millisecond, "no agent dials")
		m.start(t, r)
		require.Equal(t, "READY=1", m.told(t))
		a.expectTimes(`funnel is up again`, round+1)
		eventuallyEchoAt(t, publicTCP)
		requireUDPEchoAt(t, publicUDP)
	}
	require.NotContains(t, a.said(), "connection refused")
}

func TestRelayIsGivenASocketThatDoesNotListen(t *testing.T) {
	m := newManager(t)
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	socket, err := conn.(*net.UDPConn).File()
	require.NoError(t, err)
	defer socket.Close()
	command := exec.Command(need(t, "sh"), "-c", `export LISTEN_PID=$$; exec "$@"`, "sh",
		filepath.Join(programs, "funnel-relay"), "serve", "--state-dir", t.TempDir())
	command.Env = []string{"LISTEN_FDS=2"}
	command.ExtraFiles = []*os.File{m.socket, socket}
	p := startCommand(t, command)
	require.Equal(t, 1, p.status())
	require.Contains(t, p.said(), "socket 2 of those that the service manager gave does not listen on TCP")
}
