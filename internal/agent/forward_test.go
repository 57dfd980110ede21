package agent

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/forward"
	"funnel/proto"
)

func TestRefusedForwardLeavesTheOthers(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	squatter, err := net.Listen("tcp", "127.0.0.1:"+freePort(t))
	require.NoError(t, err)
	defer squatter.Close()
	_, taken, _ := net.SplitHostPort(squatter.Addr().String())
	port := target(t, echo)

	agent := run(t, agentConfig(t, relay, taken+":127.0.0.1:"+port, "0:127.0.0.1:"+port))
	report := agent.report()
	require.ErrorContains(t, report.Forwards[0].Err, "address already in use")
	requireEcho(t, report.Forwards[1].Public)

	squatter.Close() // the port comes free, as when our old connection times out
	report = agent.report()
	require.NoError(t, report.Forwards[0].Err)
	requireEcho(t, report.Forwards[0].Public)
	requireEcho(t, report.Forwards[1].Public)
	agent.stop()
}

func TestRefusedForwardEndsAStrictAgent(t *testing.T) {
	relay := newTestRelay(t)
	relay.refuse = func(_ string, port uint32) (string, bool) { return "port is taken", port != 0 }
	relay.start()
	defer relay.kill()
	config := agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo), "25565")
	config.ExitOnForwardFailure = true
	err := run(t, config).end()
	require.ErrorIs(t, err, ErrForward)
	require.EqualError(t, err, "expose tcp :25565: port is taken")
}

func TestStockServerGivesNoReason(t *testing.T) {
	relay := newTestRelay(t)
	relay.version = "OpenSSH_9.9"
	relay.refuse = func(string, uint32) (string, bool) { return "", true }
	relay.start()
	defer relay.kill()
	config := agentConfig(t, relay, "443:127.0.0.1:8443")
	config.ExitOnForwardFailure = true
	err := run(t, config).end()
	require.ErrorIs(t, err, ErrForward)
	for _, cause := range []string{"taken", "permitlisten", "below 1024"} {
		require.ErrorContains(t, err, cause)
	}
}

func TestUDPNeedsFunnelRelay(t *testing.T) {
	t.Run("alone", func(t *testing.T) {
		relay := newTestRelay(t)
		relay.version = "OpenSSH_9.9"
		relay.start()
		defer relay.kill()
		config := agentConfig(t, relay)
		config.Forwards = parse(t, forward.UDP, "27015")
		err := run(t, config).end()
		require.ErrorIs(t, err, ErrForward)
		require.ErrorContains(t, err, "not funnel-relay")
	})
	t.Run("beside TCP", func(t *testing.T) {
		relay := newTestRelay(t)
		relay.version = "OpenSSH_9.9"
		relay.start()
		defer relay.kill()
		config := agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo))
		config.Forwards = append(config.Forwards, parse(t, forward.UDP, "27015")...)
		agent := run(t, config)
		report := agent.report()
		require.ErrorContains(t, report.Forwards[1].Err, "not funnel-relay")
		requireEcho(t, report.Forwards[0].Public)
		agent.stop()
	})
	t.Run("beside TCP of a strict agent", func(t *testing.T) {
		relay := newTestRelay(t).start()
		defer relay.kill()
		config := agentConfig(t, relay, freePort(t)+":127.0.0.1:1")
		config.Forwards = append(config.Forwards, parse(t, forward.UDP, "27015")...)
		config.ExitOnForwardFailure = true
		require.ErrorIs(t, run(t, config).end(), ErrForward)
	})
}

// A target must not take half of a message for the whole.
func TestALinkThatBreaksIsNoEndOfData(t *testing.T) {
	breaks := map[string]func(*testRelay, *link){
		"it breaks": func(r *testRelay, _ *link) {
			r.mu.Lock()
			defer r.mu.Unlock()
			for conn := range r.links {
				_ = conn.(*net.TCPConn).SetLinger(0)
				conn.Close()
			}
		},
		"it is given up": func(_ *testRelay, l *link) { _ = l.Close() },
	}
	for _, version := range []string{"OpenSSH_9.9", "funnel_relay_test"} {
		for how, breakIt := range breaks {
			t.Run(version+", "+how, func(t *testing.T) {
				relay := newTestRelay(t)
				relay.version = version
				relay.start()
				defer relay.kill()
				const clients = 64 // each of which may find the link broken too late
				begun, seen := make(chan struct{}, clients), make(chan error, clients)
				port := target(t, func(conn *net.TCPConn) {
					_ = conn.CloseWrite()
					_, _ = io.ReadFull(conn, make([]byte, 4))
					begun <- struct{}{}
					_, err := io.Copy(io.Discard, conn)
					seen <- err
				})
				agent := run(t, agentConfig(t, relay, "127.0.0.1:0:127.0.0.1:"+port))
				defer agent.cancel()
				public := agent.report().Forwards[0].Public
				for range clients {
					client := dialPublic(t, public)
					defer client.Close() // which the relay waits for
					_, err := io.WriteString(client, "half of a message")
					require.NoError(t, err)
				}
				for range clients {
					<-begun
				}
				up, _ := agent.agent.uptime.newest()
				breakIt(relay, up.(*link))
				for range clients {
					require.Error(t, <-seen)
				}
				agent.stop()
			})
		}
	}
}

// refuses answers every hello with a no.
func refuses(code proto.Code, text string) func(ssh.Channel) {
	return func(channel ssh.Channel) {
		if _, err := proto.ReadHello(channel); err == nil {
			_, _ = channel.Write(proto.Welcome{Version: proto.Version, Code: code, Text: text}.Append(nil))
		}
	}
}

func TestUDPThatIsRefusedForGoodIsGivenUp(t *testing.T) {
	relay := newTestRelay(t)
	relay.subsystem = true
	relay.lane = refuses(proto.CodeVersion, "update the older of the two\x1b[31m")
	relay.start()
	defer relay.kill()
	config := agentConfig(t, relay)
	config.Forwards = parse(t, forward.UDP, "27015-27016")
	err := run(t, config).end()
	require.ErrorIs(t, err, ErrForward)
	require.EqualError(t, err, "expose udp :27015: the relay refuses UDP: update the older of the two[31m")

	config = agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo))
	config.Forwards = append(config.Forwards, parse(t, forward.UDP, "27015")...)
	agent := run(t, config)
	report := agent.report()
	require.ErrorContains(t, report.Forwards[1].Err, "the relay refuses UDP")
	require.True(t, agent.agent.State().Forwards[1].Final)
	requireEcho(t, report.Forwards[0].Public)
	agent.stop()
}

// Lanes that fail keep nobody from hearing that TCP is up, and are not kept secret.
func TestTCPIsReportedThoughUDPDoesNotComeUp(t *testing.T) {
	relay := newTestRelay(t)
	relay.subsystem = true
	relay.lane = refuses(proto.CodeLimit, "this key has too many sessions")
	relay.start()
	defer relay.kill()
	config := agentConfig(t, relay, "0:127.0.0.1:"+target(t, echo))
	config.Forwards = append(config.Forwards, parse(t, forward.UDP, "27015")...)
	agent := run(t, config)
	report := agent.report()
	require.NoError(t, report.Forwards[0].Err)
	require.True(t, report.Forwards[1].Waits)
	require.ErrorContains(t, report.Forwards[1].Err, "this key has too many sessions")
	state := agent.agent.State()
	require.True(t, state.Connected)
	require.Contains(t, state.Forwards[1].Waits, "this key has too many sessions")
	require.Empty(t, state.Forwards[1].Refused)
	requireEcho(t, report.Forwards[0].Public)
	agent.stop()
}

// A relay that grants the subsystem and then only echoes breaks the protocol:
// the agent must not spin, and must end cleanly.
func TestLaneThatTalksNonsense(t *testing.T) {
	relay := newTestRelay(t)
	relay.subsystem = true
	relay.start()
	defer relay.kill()
	config := agentConfig(t, relay)
	config.Forwards = parse(t, forward.UDP, "27015")
	agent := run(t, config)
	require.Eventually(t, func() bool { return relay.logins.Load() >= 2 }, patience, time.Millisecond)
	agent.stop()
}

func TestRefusalsOfUDP(t *testing.T) {
	no := refusalOf(&proto.Error{Code: proto.CodeInUse, Text: "port\x1b[2J taken\n\x07"})
	require.Equal(t, &refusal{reason: "port[2J taken"}, no, "nothing for the terminal")
	require.True(t, refusalOf(&proto.Error{Code: proto.CodeDenied, Text: "no"}).final)
	no = refusalOf(&proto.Error{Code: proto.CodeOutlived, Text: "another has it"})
	require.True(t, no.final)
	require.ErrorIs(t, no, ErrOutlived)
}
