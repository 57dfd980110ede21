package access

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNetworks(t *testing.T) {
	f := newTestFile(t, `# who may not, and who alone may
deny 203.0.113.0/24
deny 2001:db8::/32 25565   # one port
deny 192.0.2.7 25565,27015-27020/udp
allow 198.51.100.0/24 8080/tcp
allow 2001:db8:1::/48 8080/tcp
`)
	networks, err := NewNetworks(f.path, slog.New(slog.NewTextHandler(&f.log, nil)))
	require.NoError(t, err)
	for _, test := range []struct {
		client, network string
		port            uint16
		allowed         bool
	}{
		{"203.0.113.9", "tcp", 1, false},
		{"::ffff:203.0.113.9", "udp", 1, false},
		{"203.0.114.9", "tcp", 1, true},
		{"2001:db8::1", "udp", 25565, false},
		{"2001:db8::1", "udp", 25566, true},
		{"192.0.2.7", "udp", 25565, false},
		{"192.0.2.7", "tcp", 25565, true},
		{"192.0.2.8", "udp", 25565, true},
		{"198.51.100.1", "tcp", 8080, true},
		{"198.51.101.1", "tcp", 8080, false},
		{"198.51.101.1", "udp", 8080, true},
		{"2001:db8:1:2::3", "tcp", 8080, true},
	} {
		require.Equal(t, test.allowed, networks.Allows(netip.MustParseAddr(test.client), test.network, test.port), "%v", test)
	}
	require.True(t, (*Networks)(nil).Allows(remote, "tcp", 1))
	require.False(t, (*Networks)(nil).Refresh())

	f.write("deny 198.51.100.1\n")
	require.False(t, networks.Refresh(), "it may be half a file")
	require.True(t, networks.Refresh())
	require.Contains(t, f.log.String(), "rules=1")
	require.False(t, networks.Refresh())
	require.True(t, networks.Allows(netip.MustParseAddr("203.0.113.9"), "tcp", 1))
	f.write("deny 198.51.100.1\ndeny 203.0.11")
	require.False(t, networks.Refresh())
	require.False(t, networks.Refresh(), "half a file")
	require.False(t, networks.Allows(netip.MustParseAddr("198.51.100.1"), "tcp", 1))
	require.NoError(t, os.Remove(f.path))
	require.False(t, networks.Refresh())
	require.True(t, networks.Refresh())
	require.True(t, networks.Allows(netip.MustParseAddr("198.51.100.1"), "tcp", 1))
}

// A file that is being written or replaced opens no port.
func TestNetworksOfAFileThatIsBeingWritten(t *testing.T) {
	const rules = "allow 198.51.100.0/24 8080\n"
	f := newTestFile(t, rules)
	networks, err := NewNetworks(f.path, nil)
	require.NoError(t, err)
	for _, breaks := range gaps {
		breaks(f)
		networks.Refresh()
		require.False(t, networks.Allows(remote, "tcp", 8080))
		f.write(rules)
		for range 3 {
			networks.Refresh()
			require.False(t, networks.Allows(remote, "tcp", 8080))
		}
	}
}

// A file that is another one at each look counts nevertheless.
func TestNetworksOfAFileThatNeverRests(t *testing.T) {
	f := newTestFile(t, "")
	networks, err := NewNetworks(f.path, nil)
	require.NoError(t, err)
	changed := 0
	for i := range 3 * maxUnsteady {
		f.write(fmt.Sprintf("deny 203.0.113.9\n# %d\n", i))
		if networks.Refresh() {
			changed++
		}
	}
	require.Equal(t, 3, changed)
	require.False(t, networks.Allows(remote, "tcp", 1))
}

func TestNetworksThatAreRefused(t *testing.T) {
	for text, says := range map[string]string{
		"203.0.113.9":           "want deny or allow, a network",
		"block 203.0.113.9":     `"block" is neither deny nor allow`,
		"deny example.com":      `"example.com" is not an address or a network`,
		"deny 192.0.2.1/24":     "has bits set beyond",
		"deny 192.0.2.1 x":      `ports "x"`,
		"deny 192.0.2.1 [::]:1": "want ports alone",
		"deny 192.0.2.1 1 2":    "want deny or allow, a network",
	} {
		_, err := NewNetworks(newTestFile(t, "\n"+text).path, nil)
		require.ErrorContains(t, err, "line 2: ", text)
		require.ErrorContains(t, err, says, text)
	}
}

func FuzzNetworks(f *testing.F) {
	f.Add([]byte("deny 203.0.113.0/24\nallow 2001:db8::/32 25565/udp # x\n"), "203.0.113.9", uint16(25565))
	f.Fuzz(func(t *testing.T, data []byte, client string, port uint16) {
		r, err := parseNetworks(data)
		if err != nil {
			require.Nil(t, r)
			return
		}
		n := &Networks{}
		n.current.Store(r)
		addr, _ := netip.ParseAddr(client)
		n.Allows(addr, "udp", port)
	})
}
