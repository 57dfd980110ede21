package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestAddressesThatHangDontHideOneThatAnswers: more of them than would fit into
// connectTimeout if each took its share. They hang as their queue of
// connections to accept is full.
func TestAddressesThatHangDontHideOneThatAnswers(t *testing.T) {
	port, err := strconv.Atoi(freePort(t)) // at every address
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	require.NoError(t, err)
	defer listener.Close()
	var all []netip.Addr
	for i := byte(2); i < 6; i++ {
		hang(t, [4]byte{127, 0, 0, i}, port)
		all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, i}))
	}
	all = append(all, netip.MustParseAddr("127.0.0.1"))
	conn, err := dialTCP(t.Context(), finds(all, nil), "relay.example:"+strconv.Itoa(port))
	require.NoError(t, err)
	defer conn.Close()
	require.Equal(t, listener.Addr().String(), conn.RemoteAddr().String())
}

// TestAttemptsAreGivenUp: one that hangs is tried again beside itself, but never
// by more than maxConnects at once.
func TestAttemptsAreGivenUp(t *testing.T) {
	port, err := strconv.Atoi(freePort(t))
	require.NoError(t, err)
	addr := [4]byte{127, 0, 0, 7}
	hang(t, addr, port)
	before := connecting(t, addr, port)
	ctx, cancel := context.WithTimeout(t.Context(), connectStagger*(maxConnects+8))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := dialTCP(ctx, finds([]netip.Addr{netip.AddrFrom4(addr)}, nil), "relay.example:"+strconv.Itoa(port))
		ended <- err
	}()
	most := 0
	for {
		select {
		case err := <-ended:
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout(), "not what an attempt says that was given up: %v", err)
			require.Greater(t, most, 1)
			require.LessOrEqual(t, most, maxConnects+4, "some are being given up")
			return
		case <-time.After(10 * time.Millisecond):
			most = max(most, connecting(t, addr, port)-before)
		}
	}
}

// connecting counts the connects under way: the sockets in state SYN_SENT (2),
// proc_net_tcp(5). While others come and go the table tells of one twice.
func connecting(t *testing.T, addr [4]byte, port int) int {
	t.Helper()
	table, err := os.ReadFile("/proc/self/net/tcp")
	require.NoError(t, err)
	to := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(addr[:]), port)
	from := make(map[string]bool)
	for line := range strings.Lines(string(table)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[2] == to && fields[3] == "02" {
			from[fields[1]] = true
		}
	}
	return len(from)
}

// hang has connects to addr swallowed until the test ends.
func hang(t *testing.T, addr [4]byte, port int) {
	t.Helper()
	to := &unix.SockaddrInet4{Addr: addr, Port: port}
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(listener) })
	require.NoError(t, unix.Bind(listener, to))
	require.NoError(t, unix.Listen(listener, 0))
	// The queue holds one more than asked for; the rest is for certainty.
	for range 4 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		require.NoError(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		if err := unix.Connect(fd, to); err != nil {
			require.ErrorIs(t, err, unix.EINPROGRESS)
		}
	}
}
