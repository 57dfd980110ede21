package agent

import (
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/freeport"
)

// freePort is a port that nobody has at the moment.
func freePort(t testing.TB) string {
	t.Helper()
	port, err := freeport.Agent.Find(netip.Addr{})
	require.NoError(t, err)
	return strconv.Itoa(int(port))
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
