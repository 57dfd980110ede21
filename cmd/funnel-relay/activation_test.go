//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestServiceManagerIsKnownFromTheStart: it is told though its socket can't be
// reached any more when the relay is up.
func TestServiceManagerIsKnownFromTheStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer notify.Close()
	require.NoError(t, notify.SetReadDeadline(time.Now().Add(20*time.Second)))
	told := func() string {
		buffer := make([]byte, 256)
		n, err := notify.Read(buffer)
		require.NoError(t, err)
		return string(buffer[:n])
	}
	t.Setenv("NOTIFY_SOCKET", path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout, w := io.Pipe()
	var stderr bytes.Buffer
	status := make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"--no-lockdown", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir()}, strings.NewReader(""), w, &stderr)
		w.Close()
	}()
	// It waits to be read before it says that it is ready.
	_, err = stdout.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	go io.Copy(io.Discard, stdout)
	require.Equal(t, "READY=1", told())
	cancel()
	require.Equal(t, "STOPPING=1", told())
	require.Zero(t, <-status)
	require.Empty(t, stderr.String())
}
