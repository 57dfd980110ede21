package tcpio

import (
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A Conn of which little is read holds little memory, and all that is sent is
// read, whatever the sizes of the pieces.
func TestReadBufferGrowsWhenItWasFilled(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	c := NewConn(far)
	defer c.Close()
	random := rand.NewChaCha8([32]byte{7})
	exchange := func(size, piece int) {
		t.Helper()
		sent := make([]byte, size)
		_, _ = random.Read(sent)
		failed := make(chan error, 1)
		go func() {
			_, err := near.Write(sent)
			failed <- err
		}()
		got := make([]byte, size)
		for n := 0; n < size; n += piece {
			_, err := io.ReadFull(c, got[n:min(n+piece, size)])
			require.NoError(t, err)
		}
		require.NoError(t, <-failed)
		require.Equal(t, sent, got)
	}
	exchange(firstReadBuffer-1, 100)
	require.Len(t, c.buffer, firstReadBuffer)
	exchange(3*firstReadBuffer, 100)
	require.Len(t, c.buffer, readBuffer)
	exchange(3*readBuffer, 1000)
	exchange(2*readBuffer, 2*readBuffer)
}
