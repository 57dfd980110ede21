package tcpio

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestHeldIsWhatQueuedTells: also while part of it has not been sent.
func TestHeldIsWhatQueuedTells(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer near.Close()
	far, err := listener.Accept()
	require.NoError(t, err)
	defer far.Close()
	socket := NewSocket(near)
	info, ok := socket.Info()
	require.True(t, ok)
	require.Zero(t, info.Held())

	// More than the peer's window takes, which doesn't read, and no more than fits
	// the send buffer.
	require.NoError(t, far.(*net.TCPConn).SetReadBuffer(64<<10))
	require.NoError(t, near.(*net.TCPConn).SetWriteBuffer(8<<20))
	_, err = near.Write(make([]byte, 2<<20))
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		queued, ok := socket.Queued()
		require.True(t, ok)
		info, ok := socket.Info()
		require.True(t, ok)
		again, _ := socket.Queued()
		return queued == again && queued > 0 && info.NotsentBytes > 0 && queued-info.Held() <= 1 && info.Held() <= queued
	}, 20*time.Second, 10*time.Millisecond)
}
