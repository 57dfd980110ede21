package agent

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/sshwire"
)

func dialTest(t *testing.T, relay *testRelay) *TestLink {
	t.Helper()
	link, err := DialTest(t.Context(), agentConfig(t, relay))
	require.NoError(t, err)
	t.Cleanup(link.Close)
	return link
}

func TestTestPorts(t *testing.T) {
	relay := newTestRelay(t)
	token := "0123456789abcdef"
	relay.testPorts = func() (bool, []byte) {
		return true, ssh.Marshal(sshwire.TestPorts{UDPPort: 40001, Seconds: 120, Token: token, Note: "no\u202e TCP"})
	}
	relay.start()
	defer relay.kill()
	link := dialTest(t, relay)
	require.True(t, link.IsFunnelRelay())
	require.Equal(t, netip.MustParseAddr("127.0.0.1"), link.Relay())
	ports, err := link.Ports(t.Context())
	require.NoError(t, err)
	require.Equal(t, TestPorts{
		UDP: netip.MustParseAddrPort("127.0.0.1:40001"), Token: []byte(token), For: 2 * time.Minute, Note: "no TCP",
	}, ports)
	link.Close()
	_, err = link.Ports(t.Context())
	require.Error(t, err)
}

func TestTestPortsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		version string
		answer  []byte
		known   bool
		text    string
	}{
		"by a relay that says why":  {"", sshwire.Refusal{Final: true, Reason: "this key may not forward ports"}.Append(nil), true, "this key may not forward ports"},
		"by an older relay":         {"", nil, false, "too old for test ports"},
		"by another server":         {"OpenSSH_10.0", nil, false, "isn't funnel-relay"},
		"with a text it can't mean": {"OpenSSH_10.0", []byte("no"), false, "isn't funnel-relay"},
	} {
		t.Run(name, func(t *testing.T) {
			relay := newTestRelay(t)
			relay.version = test.version
			relay.testPorts = func() (bool, []byte) { return false, test.answer }
			relay.start()
			defer relay.kill()
			link := dialTest(t, relay)
			_, err := link.Ports(t.Context())
			var refused *RefusedTest
			require.ErrorAs(t, err, &refused)
			require.Equal(t, test.known, refused.Known)
			require.Contains(t, refused.Reason, test.text)
			link.Close()
		})
	}
}

func TestTestPortsThatCannotBeRead(t *testing.T) {
	relay := newTestRelay(t)
	relay.testPorts = func() (bool, []byte) { return true, []byte("nonsense") }
	relay.start()
	defer relay.kill()
	link := dialTest(t, relay)
	_, err := link.Ports(t.Context())
	require.ErrorIs(t, err, sshwire.ErrMalformed)
	link.Close()
}

func TestTestPortsEndWithTheContext(t *testing.T) {
	relay := newTestRelay(t).start()
	defer relay.kill()
	link := dialTest(t, relay)
	relay.frozen.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := link.Ports(ctx)
	require.ErrorIs(t, err, context.Canceled)
	link.Close()
}
