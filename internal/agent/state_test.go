package agent

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStateOfAnAgent(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	a, err := New(agentConfig(t, relay, "0:127.0.0.1:9"))
	require.NoError(t, err)
	state := a.State() // of one that doesn't run yet
	require.False(t, state.Connected)
	require.Nil(t, state.Link)
	require.Contains(t, state.String(), "not yet")

	r := run(t, agentConfig(t, relay, "0:127.0.0.1:9"))
	defer r.stop()
	report := r.report()
	a = r.agent
	state = a.State()
	require.True(t, state.Connected)
	require.NotNil(t, state.Link)
	require.Equal(t, relay.address, state.Link.Remote)
	require.Equal(t, "SSH-2.0-funnel_relay_test", state.Link.Server)
	require.Len(t, state.Forwards, 1)
	require.Equal(t, report.Forwards[0].Public, state.Forwards[0].Public)

	relay.kill()
	require.Eventually(t, func() bool { return !a.State().Connected }, patience, time.Millisecond)
	require.Empty(t, a.State().Forwards[0].Public)
	relay.start()
	r.report()
	state = a.State()
	require.True(t, state.Connected)
	require.Equal(t, 1, state.Reconnects)
	require.Len(t, state.Outages, 1)

	text, err := json.Marshal(state)
	require.NoError(t, err)
	var again State
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, state.String(), again.String(), "who asks shows what the agent would")
}

func TestStateAsAPersonSeesIt(t *testing.T) {
	at := time.Date(2026, 11, 25, 19, 2, 11, 0, time.Local)
	state := State{
		PID: 4711, Version: "v1.0.0", Relay: "vps.example.com:2222", Started: at, Running: 22329,
		Connected: true, Since: at, For: 10812, Reconnects: 1,
		Outages: []Outage{{Began: at, Over: true, Away: 1.87, Cause: "no sign of life from the relay"}},
		Link:    &LinkState{Remote: "203.0.113.5:2222", Server: "SSH-2.0-funnel_relay_v1.0.0", RTT: 41.23},
		Lanes:   &LanesState{Want: 4, Up: []LaneState{{RTT: 40.91}, {}}},
		Forwards: []ForwardState{
			{Network: "tcp", Listen: "*:25565", Target: "127.0.0.1:25565", Public: "vps.example.com:25565"},
			{Network: "udp", Listen: "*:2456", Target: "127.0.0.1:2456", Refused: "the port is taken"},
			{Network: "udp", Listen: "*:53", Target: "127.0.0.1:53", Refused: "it is forbidden", Final: true},
			{Network: "udp", Listen: "*:2457", Target: "127.0.0.1:2457"},
			{Network: "udp", Listen: "*:2458", Target: "127.0.0.1:2458", Waits: "no connection for it yet"},
		},
		TCPConns: 3, UDPFlows: 5, Drops: map[string]uint64{"stale": 7, "queue_full": 2},
	}
	require.Equal(t, `agent 4711 (v1.0.0), running for 6h12m9s
  relay       vps.example.com:2222
  connected   since 2026-11-25 19:02:11, for 3h0m12s
  link        203.0.113.5:2222, SSH-2.0-funnel_relay_v1.0.0, round trip 41.2 ms
  lanes       2 of 4 up, round trips 40.9 ms, unknown
  reconnects  1
              2026-11-25 19:02:11  away for 1.87s: no sign of life from the relay
  carries     3 TCP connections, 5 UDP flows
  dropped     2 queue_full, 7 stale
  tcp         vps.example.com:25565 -> 127.0.0.1:25565
  udp         *:2456 refused: the port is taken; trying again
  udp         *:53 refused: it is forbidden
  udp         *:2457 waits for the relay, for 127.0.0.1:2457
  udp         *:2458 waits for the relay, for 127.0.0.1:2458: no connection for it yet
`, state.String())
	state.TCPConns, state.UDPFlows = 0, 1
	require.Contains(t, state.String(), "carries     0 TCP connections, 1 UDP flow\n")
	state.Connected = false
	require.Contains(t, state.String(), "away        since 2026-11-25 19:02:11, for 3h0m12s: no sign of life from the relay\n")
}
