package agent

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The ports of this package's tests: below those that the system chooses from, for
// who connects while nobody listens here, and beside those of other packages' tests,
// which run at the same time.
const (
	firstPort = 20000
	portCount = 1500
)

// testPorts is all of them, as a policy has them.
var testPorts = fmt.Sprintf("%d-%d", firstPort, firstPort+portCount-1)

// portsTried begins somewhere, as another run of the tests may be under way.
var portsTried = func() *atomic.Uint32 {
	var tried atomic.Uint32
	tried.Store(rand.Uint32N(portCount))
	return &tried
}()

// freePort is one of them that nobody has at the moment. They are taken in turn, so
// that no test is given one twice.
func freePort(t testing.TB) string {
	t.Helper()
	for range portCount {
		port := strconv.Itoa(firstPort + int(portsTried.Add(1)%portCount))
		listener, err := net.Listen("tcp", ":"+port)
		if err == nil {
			require.NoError(t, listener.Close())
			return port
		}
	}
	require.Fail(t, "no port is free")
	return ""
}

// requireClosed wants nobody to listen at a public address any more. An agent that
// stops waits for the relay's answer to its goodbye, but not for ever: a busy machine
// may need longer.
func requireClosed(t testing.TB, public string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", public)
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, patience, 10*time.Millisecond, "somebody listens at %s", public)
}
