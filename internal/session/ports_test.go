package session

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// The ports of this package's tests: below those that the system chooses from, for
// any socket that is opened while nobody has them, and beside those of other
// packages' tests, which run at the same time.
const (
	firstPort = 21700
	portCount = 200
)

// portsTried begins somewhere, as another run of the tests may be under way.
var portsTried = func() *atomic.Uint32 {
	var tried atomic.Uint32
	tried.Store(rand.Uint32N(portCount))
	return &tried
}()

func nextPort() uint16 { return uint16(firstPort + portsTried.Add(1)%portCount) }

// freePort is a port that nobody has at the moment, at whatever address.
func freePort(t testing.TB) uint16 {
	t.Helper()
	for range portCount {
		port := nextPort()
		conn, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err == nil {
			require.NoError(t, conn.Close())
			return port
		}
	}
	require.Fail(t, "no port is free")
	return 0
}
