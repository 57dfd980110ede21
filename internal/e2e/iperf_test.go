//go:build linux

package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIperfBothWays(t *testing.T) {
	iperf := need(t, "iperf3")
	port := freePort(t)
	server := start(t, iperf, "--server", "--bind", "127.0.0.1", "--port", port, "--forceflush")
	server.expect(`Server listening`)
	r := startRelay(t)
	public := freePort(t)
	r.startAgent(t, "--both", public+":127.0.0.1:"+port)
	for name, way := range map[string][]string{"to the server": nil, "to the client": {"--reverse"}} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"--client", "127.0.0.1", "--port", public, "--udp", "--bitrate", "5M", "--length", "1200", "--time", "2", "--json"}, way...)
			measure(t, func(t testing.TB) {
				p := start(t, iperf, args...)
				require.Zero(t, p.status(), p.said())
				var result struct {
					End struct {
						Sum struct {
							Packets     int     `json:"packets"`
							LostPercent float64 `json:"lost_percent"`
						} `json:"sum"`
					} `json:"end"`
				}
				require.NoError(t, json.Unmarshal([]byte(p.said()), &result))
				require.Greater(t, result.End.Sum.Packets, 500)
				require.Less(t, result.End.Sum.LostPercent, 50.0)
				t.Logf("%d datagrams, %.2f %% lost", result.End.Sum.Packets, result.End.Sum.LostPercent)
			})
		})
	}
}
