package tcpio

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// swallow reads conn until it ends.
func swallow(conn net.Conn) {
	b := make([]byte, 64<<10)
	for {
		if _, err := conn.Read(b); err != nil {
			return
		}
	}
}

func TestConnKeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go swallow(far)
		c := NewConn(near)
		const perSecond = 1 << 20
		c.SetRate(perSecond)
		begun := time.Now()
		b := make([]byte, 32<<10)
		for range 10 * perSecond / len(b) {
			_, err := c.Write(b)
			require.NoError(t, err)
		}
		// What may go at once, and what waits still, is less than a second's.
		require.InDelta(t, 10, time.Since(begun).Seconds(), 1)
		require.NoError(t, c.Close())
		far.Close()
	})
}

func TestCloseEndsAWriteThatWaitsForItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go swallow(far)
		c := NewConn(near)
		c.SetRate(1)
		// The first takes all that may go at once, and the second would wait for days.
		_, err := c.Write(make([]byte, gatherLimit))
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = c.Write(make([]byte, gatherLimit))
		}()
		synctest.Wait()
		begun := time.Now()
		c.Close()
		<-ended
		require.Less(t, time.Since(begun), time.Minute)
		far.Close()
	})
}
