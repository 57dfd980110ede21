package relay

import (
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tcpPair is both ends of a TCP connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	client = connect(t, "127.0.0.1", addrPort(listener.Addr()).Port())
	accepted, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { accepted.Close() })
	return client, accepted.(*net.TCPConn)
}

// A conn whose bytes wait ends when it is closed, and has taken nothing then from
// those that come after it.
func TestEndOfAMeteredConn(t *testing.T) {
	s := startRelay(t)
	s.writeKeys(s.line(`max-bandwidth="8k"`, s.key)) // 1000 bytes a second, but 64 KiB at first
	grant, err := s.relay.config.Keys.Authorize("tunnel", s.key.PublicKey(), netip.MustParseAddr("127.0.0.1"), time.Now())
	require.NoError(t, err)
	toTarget, _ := s.relay.config.Keys.Lease(grant).Meter()
	b := &binding{toTarget: toTarget, toClient: toTarget} // one meter, so that each waits for the other
	for toTarget.Pass(1000) {
	}

	peer, served := tcpPair(t)
	conn := meter(served, b)
	ended := make(chan error, 2)
	go func() {
		_, err := conn.Write(make([]byte, 1<<20))
		ended <- err
	}()
	go func() {
		_, err := io.Copy(io.Discard, struct{ io.Reader }{conn})
		ended <- err
	}()
	_, err = peer.Write(make([]byte, 64<<10))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	for range 2 {
		select {
		case err := <-ended:
			require.Error(t, err)
		case <-time.After(patience):
			require.Fail(t, "it still waits")
		}
	}

	peer, served = tcpPair(t)
	conn = meter(served, b)
	defer conn.Close()
	_, err = conn.Write([]byte("next"))
	require.NoError(t, err)
	heard := make([]byte, len("next"))
	_, err = io.ReadFull(peer, heard)
	require.NoError(t, err)
}
