//go:build linux

package e2e

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDNSOverOnePort(t *testing.T) {
	dig, dnsmasq := need(t, "dig"), need(t, "dnsmasq")
	port := freePort(t)
	start(t, dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--port="+port,
		"--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file", "--user=", "--log-facility=-",
		"--address=/game.test/192.0.2.7", "--txt-record=long.test,"+strings.Repeat("x", 200))
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, patience, 10*time.Millisecond)

	r := startRelay(t)
	public := freePort(t)
	r.startAgent(t, "--both", public+":127.0.0.1:"+port)
	for _, way := range []string{"+notcp", "+tcp"} {
		p := start(t, dig, "@127.0.0.1", "-p", public, way, "+short", "+tries=5", "+time=2", "game.test", "A")
		require.Zero(t, p.status(), p.said())
		require.Equal(t, "192.0.2.7", strings.TrimSpace(p.said()), way)
		p = start(t, dig, "@127.0.0.1", "-p", public, way, "+short", "+tries=5", "+time=2", "long.test", "TXT")
		require.Zero(t, p.status(), p.said())
		require.Contains(t, p.said(), strings.Repeat("x", 200), way)
	}
}
