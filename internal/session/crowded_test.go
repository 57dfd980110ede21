package session

import (
	"crypto/ed25519"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/access"
	"funnel/internal/limit"
	"funnel/internal/obs"
	"funnel/proto"
)

// leased is a key's Peer with the options that its line of authorized_keys has.
func leased(t *testing.T, options string) Peer {
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "authorized_keys")
	require.NoError(t, os.WriteFile(path, append([]byte(options+" "), ssh.MarshalAuthorizedKey(key)...), 0o600))
	policy, err := access.ParsePolicy(nil, nil)
	require.NoError(t, err)
	keys := access.NewKeys(path, policy, nil)
	grant, err := keys.Authorize("x", key, netip.MustParseAddr("127.0.0.1"), time.Now())
	require.NoError(t, err)
	lease := keys.Lease(grant)
	return Peer{Fingerprint: grant.Fingerprint, Grant: lease, Lease: lease}
}

// meet is a client that the target has answered and that has spoken again, and its
// flow.
func (a *agent) meet(public netip.AddrPort) (player *net.UDPConn, flow uint32) {
	a.t.Helper()
	player = client(a.t, public)
	say(a.t, player, "here")
	flow = a.record().(proto.FlowHeader).Flow
	a.record()
	a.sendRecord(proto.AppendDatagram(nil, flow, 1, []byte("answer")))
	require.Equal(a.t, "answer", hear(a.t, player))
	say(a.t, player, "thanks")
	a.record()
	return player, flow
}

// TestSilentNewcomersGiveWay where those of the relay or of a key have all places,
// and whom a target has answered doesn't.
func TestSilentNewcomersGiveWay(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		peer   Peer
	}{
		"of the relay": {Config{AllFlows: limit.NewCounter(3)}, key("a")},
		"of a key":     {Config{}, leased(t, `max-flows="3"`)},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, test.config)
			a := d.join(test.peer, proto.Token{})
			public := a.bind(1, 0)
			player, first := a.meet(public)

			for id := first + 1; id <= first+3; id++ {
				say(t, client(t, public), "x")
				if id == first+3 {
					require.Equal(t, gone{first + 1, proto.GoneEvicted}, a.record())
				}
				require.Equal(t, id, a.record().(proto.FlowHeader).Flow)
				require.Equal(t, datagram{id, 1, "x"}, a.record())
			}
			say(t, player, "still here")
			require.Equal(t, datagram{first, 3, "still here"}, a.record())
		})
	}
}

func TestAFullKeyOfPlayersTakesNobody(t *testing.T) {
	d := newDesk(t, Config{AllFlows: limit.NewCounter(1)})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	a.meet(public)
	say(t, client(t, public), "x")
	s := d.only()
	require.Eventually(t, func() bool { return s.drops.Count(obs.DropFlowLimit) == 1 }, patience, tick)
	a.none()
}

// TestAFloodLeavesPlacesToOthers of the relay's.
func TestAFloodLeavesPlacesToOthers(t *testing.T) {
	const places = 4 * fewPending
	all := limit.NewCounter(places)
	d := newDesk(t, Config{AllFlows: all})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	s := d.only()
	for range places {
		say(t, client(t, public), "x")
	}
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.nextFlow == places
	}, patience, tick)
	require.Equal(t, places-places/8, all.Count())

	b := d.join(key("b"), proto.Token{})
	public = b.bind(1, 0)
	for range fewPending / 2 {
		say(t, client(t, public), "x")
		require.IsType(t, proto.FlowHeader{}, b.record())
		b.record()
	}
	require.Equal(t, places, all.Count())
}

// TestFlowsAreGivenBackOnce though a lane that is still there unbinds what has ended.
func TestFlowsAreGivenBackOnce(t *testing.T) {
	all := limit.NewCounter(10)
	d := newDesk(t, Config{AllFlows: all})
	a := d.join(key("a"), proto.Token{})
	public := a.bind(1, 0)
	s := d.only()
	for range 3 {
		say(t, client(t, public), "x")
	}
	require.Eventually(t, func() bool { return all.Count() == 3 }, patience, tick)
	s.end(proto.CodeClosing, "over")
	require.Zero(t, all.Count())
	s.unbind(1)
	require.Zero(t, all.Count())
}
