package checkup

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNothingIsMeasuredBesideATransferThatIsNone: a table that says what waits
// beside a transfer, and a verdict from it, need one.
func TestNothingIsMeasuredBesideATransferThatIsNone(t *testing.T) {
	leaver, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := leaver.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, gone.Close())

	s, err := build(t.Context(), startRelay(t, ""))
	require.NoError(t, err)
	defer s.close()
	for address, want := range map[string]string{leaver.Addr().String(): "broke off: ", gone.Addr().String(): "can't begin: "} {
		s.public[FunnelTCP], s.notes = address, nil
		condition, err := s.measure(t.Context(), Through)
		require.NoError(t, err)
		require.Nil(t, condition)
		require.Len(t, s.notes, 1)
		require.Contains(t, s.notes[0], "a player's download through the funnel "+want)
	}
	require.NoError(t, leaver.Close())
	<-done
}
