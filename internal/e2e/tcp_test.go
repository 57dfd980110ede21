//go:build linux

package e2e

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/freeport"
)

// serveTCP is a TCP server on loopback that ends with the test.
func serveTCP(t testing.TB, serve func(*net.TCPConn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveOn(t, listener, serve)
	return listener.Addr().String()
}

// serveOn serves on listener and returns what stops it, and closes its
// connections.
func serveOn(t testing.TB, listener net.Listener, serve func(*net.TCPConn)) (stop func()) {
	var tasks sync.WaitGroup
	var mu sync.Mutex
	conns := make(map[net.Conn]bool)
	tasks.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns[conn] = true
			mu.Unlock()
			tasks.Go(func() {
				defer conn.Close()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	stop = sync.OnceFunc(func() {
		listener.Close()
		mu.Lock()
		for conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		tasks.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// echoTCP sends everything back and passes the end on.
func echoTCP(conn *net.TCPConn) {
	_, _ = io.Copy(conn, conn)
	_ = conn.CloseWrite()
}

func dialTCP(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn.(*net.TCPConn)
}

// tryEcho reports whether a text comes back on conn.
func tryEcho(conn net.Conn, text string) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(conn, back); err != nil {
		return err
	}
	if string(back) != text {
		return errors.New("something else came back: " + string(back))
	}
	return nil
}

// requireEchoAt wants a new connection to address to echo.
func requireEchoAt(t testing.TB, address string) {
	t.Helper()
	conn := dialTCP(t, address)
	require.NoError(t, tryEcho(conn, "to "+address))
	require.NoError(t, conn.Close())
}

// eventuallyEchoAt waits until address echoes.
func eventuallyEchoAt(t testing.TB, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return false
		}
		defer conn.Close()
		return tryEcho(conn, "to "+address) == nil
	}, patience, 20*time.Millisecond, "nothing echoes at %s", address)
}

// requireRefusedAt wants clients of address to get nothing but a reset, at once
// or when they read.
func requireRefusedAt(t testing.TB, address string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return
	}
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.Copy(io.Discard, conn)
	require.Error(t, err, "a reset, not an orderly end")
	var network net.Error
	require.False(t, errors.As(err, &network) && network.Timeout(), "%v", err)
}

// eventuallyClosedAt waits until nobody listens at address.
func eventuallyClosedAt(t testing.TB, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.DialTimeout("tcp", address, patience)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, patience, 10*time.Millisecond, "somebody listens at %s", address)
}

// bulkSize is how much a bulk test sends each way.
func bulkSize() int64 {
	if os.Getenv("FUNNEL_LARGE") == "1" {
		return 1 << 30
	}
	return 32 << 20
}

// noise is an endless stream of bytes that seed chooses.
func noise(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// sum is the checksum of a stream and how long it was.
func sum(r io.Reader) (hash.Hash, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	return h, n, err
}

// bulkServer sends size bytes of its noise to each client that has ended its
// sending side, preceded by the checksum of what that client sent. So it shows
// that a half-closed connection goes on carrying the other direction.
func bulkServer(size int64) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		h, _, err := sum(conn)
		if err != nil {
			return
		}
		if _, err := conn.Write(h.Sum(nil)); err != nil {
			return
		}
		_, _ = io.Copy(conn, io.LimitReader(noise(2), size))
		_ = conn.CloseWrite()
	}
}

// requireBulk sends much through address to a bulkServer, ends its sending
// side, and wants much back, both with equal checksums.
func requireBulk(t *testing.T, address string, size int64) {
	t.Helper()
	sent, _, err := sum(io.LimitReader(noise(1), size))
	require.NoError(t, err)
	promised, _, err := sum(io.LimitReader(noise(2), size))
	require.NoError(t, err)

	conn := dialTCP(t, address)
	require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Minute)))
	begun := time.Now()
	_, err = io.Copy(conn, io.LimitReader(noise(1), size))
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	received := make([]byte, sha256.Size)
	_, err = io.ReadFull(conn, received)
	require.NoError(t, err, "the client has ended its sending side and waits")
	require.Equal(t, sent.Sum(nil), received, "to the target")
	up := time.Since(begun)
	begun = time.Now()
	back, n, err := sum(conn)
	require.NoError(t, err)
	require.Equal(t, size, n)
	require.Equal(t, promised.Sum(nil), back.Sum(nil), "to the client")
	down := time.Since(begun)
	mib := float64(size) / (1 << 20)
	t.Logf("%.0f MiB: %.0f MiB/s to the target, %.0f MiB/s to the client", mib, mib/up.Seconds(), mib/down.Seconds())
}

// freePort is a port that nobody has at the moment.
func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.E2E.Find(netip.Addr{})
	require.NoError(t, err)
	return strconv.Itoa(int(port))
}

// hasIPv6 reports whether loopback has its IPv6 address.
func hasIPv6() bool {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	listener.Close()
	return true
}
