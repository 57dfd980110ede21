package access

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
)

// takes is a try that expects to be called once, with this host and port.
func takes(t testing.TB, host string, port uint16) func(string, uint16) (uint16, error) {
	called := false
	return func(gotHost string, gotPort uint16) (uint16, error) {
		require.False(t, called)
		called = true
		require.Equal(t, host, gotHost)
		require.Equal(t, port, gotPort)
		return port, nil
	}
}

func never(t testing.TB) func(string, uint16) (uint16, error) {
	return func(host string, port uint16) (uint16, error) {
		require.Fail(t, "try was called", "%s %d", host, port)
		return 0, nil
	}
}

func TestBindWithinTheKeysPermits(t *testing.T) {
	for _, test := range []struct {
		options, network, host string
		port                   uint16
		permitted              bool
	}{
		{``, "tcp", "", 25565, true},
		{``, "udp", "203.0.113.9", 25565, true},
		{`permitlisten="25565"`, "tcp", "", 25565, true},
		{`permitlisten="25565"`, "udp", "", 25565, true},
		{`permitlisten="25565"`, "tcp", "0.0.0.0", 25565, true},
		{`permitlisten="25565"`, "tcp", "localhost", 25565, true},
		{`permitlisten="25565"`, "tcp", "*", 25565, true},
		{`permitlisten="25565"`, "tcp", "", 25566, false},
		{`permitlisten="25565/udp"`, "udp", "", 25565, true},
		{`permitlisten="25565/udp"`, "tcp", "", 25565, false},
		{`permitlisten="25565/tcp",permitlisten="19132/udp"`, "udp", "", 19132, true},
		{`permitlisten="25565/tcp",permitlisten="19132/udp"`, "tcp", "", 19132, false},
		{`permitlisten="27015-27020"`, "tcp", "", 27020, true},
		{`permitlisten="27015-27020"`, "tcp", "", 27021, false},
		{`permitlisten="localhost:8080"`, "tcp", "localhost", 8080, true},
		{`permitlisten="localhost:8080"`, "tcp", "LOCALHOST", 8080, true},
		{`permitlisten="localhost:8080"`, "tcp", "127.0.0.1", 8080, false},
		{`permitlisten="localhost:8080"`, "tcp", "", 8080, false},
		{`permitlisten="127.0.0.1:8080"`, "tcp", "::ffff:127.0.0.1", 8080, true},
		{`permitlisten="127.0.0.1:8080"`, "tcp", "localhost", 8080, false},
		{`permitlisten="[::1]:8080"`, "tcp", "0:0:0:0:0:0:0:1", 8080, true},
		{`permitlisten="0.0.0.0:8080"`, "tcp", "", 8080, false},
		{`permitlisten="0.0.0.0:8080"`, "tcp", "0.0.0.0", 8080, true},
		{`permitlisten="0.0.0.0:8080"`, "tcp", "::ffff:0.0.0.0", 8080, true},
		{`permitlisten=":8080"`, "tcp", "", 8080, true},
		{`permitlisten=":8080"`, "tcp", "0.0.0.0", 8080, false},
		{`permitlisten="10.*:*"`, "tcp", "10.1.2.3", 1, true},
		{`permitlisten="10.*:*"`, "tcp", "110.1.2.3", 1, false},
		{`permitlisten="10.*:80",permitlisten="*:443"`, "tcp", "10.1.2.3", 443, true},
		{`permitlisten="10.*:80",permitlisten="*:443"`, "tcp", "11.1.2.3", 80, false},
	} {
		grant := grantOf(t, test.options, mustPolicy(t, "*"))
		if test.permitted {
			host, err := bindHost(test.host)
			require.NoError(t, err)
			port, err := grant.Bind(test.network, test.host, test.port, takes(t, host, test.port))
			require.NoError(t, err, "%+v", test)
			require.Equal(t, test.port, port)
			continue
		}
		_, err := grant.Bind(test.network, test.host, test.port, never(t))
		var denied *Denied
		require.ErrorAs(t, err, &denied, "%+v", test)
		require.Equal(t, LimitKey, denied.Limit)
		require.Equal(t, []any{test.network, test.host, test.port}, []any{denied.Network, denied.Host, denied.Port})
	}
}

func TestBindNamesWhatForbidsIt(t *testing.T) {
	limited := mustPolicy(t, "1024-65535,443", "192.0.2.7,2001:db8::/32")
	for _, test := range []struct {
		options, network, host string
		port                   uint16
		policy                 Policy
		limit                  Limit
		says                   string
	}{
		{`permitlisten="27015-27020/udp"`, "tcp", "", 80, mustPolicy(t, "*"), LimitKey,
			"TCP port 80 on every address is not permitted to this key, which may bind 27015-27020/udp"},
		{`restrict`, "udp", "0.0.0.0", 53, mustPolicy(t, "*"), LimitKey,
			"UDP port 53 on every IPv4 address is not permitted: this key may not forward ports"},
		{``, "tcp", "::", 80, mustPolicy(t, "443"), LimitOperator,
			"TCP port 80 on every IPv6 address is not allowed by the relay's operator, who allows ports 443, 1024-65535 on every address"},
		{``, "tcp", "198.51.100.1", 8080, limited, LimitOperator,
			"TCP port 8080 on 198.51.100.1 is not allowed by the relay's operator: bind one address of those allowed, 192.0.2.7, 2001:db8::/32"},
		{``, "tcp", "", 8080, limited, LimitOperator,
			"TCP port 8080 on every address is not allowed by the relay's operator: bind one address of those allowed, 192.0.2.7, 2001:db8::/32"},
		{`permitlisten="80"`, "udp", "192.0.2.7", 0, limited, LimitOperator,
			"any UDP port on 192.0.2.7 is not allowed by the relay's operator, who allows ports 443, 1024-65535 on 192.0.2.7, 2001:db8::/32, while this key may bind 80"},
		{`permitlisten="80/udp"`, "tcp", "", 0, mustPolicy(t, "*"), LimitKey,
			"any TCP port on every address is not permitted to this key, which may bind 80/udp"},
		{``, "tcp", "relay.example.com", 8080, mustPolicy(t, "*"), LimitRelay,
			`TCP port 8080 on "relay.example.com" cannot be bound: a bind address must be an address, localhost or empty`},
		{``, "tcp", "fe80::1%\x1b[31m", 8080, mustPolicy(t, "*"), LimitRelay, `"fe80::1%\x1b[31m" cannot be bound`},
		{``, "tcp", "127.1", 8080, mustPolicy(t, "*"), LimitRelay, `"127.1" cannot be bound`},
		{``, "unix", "", 8080, mustPolicy(t, "*"), LimitRelay, `network "unix" cannot be bound`},
		{``, "tcp", "", 8080, Policy{}, LimitOperator, "who allows no ports on every address"},
	} {
		_, err := grantOf(t, test.options, test.policy).Bind(test.network, test.host, test.port, never(t))
		var denied *Denied
		require.ErrorAs(t, err, &denied, "%+v", test)
		require.Equal(t, test.limit, denied.Limit, "%+v", test)
		require.Contains(t, err.Error(), test.says)
	}
}

func TestDenialListsOnlySomePermits(t *testing.T) {
	options := `permitlisten="1"`
	for range 500 {
		options += `,permitlisten="2"`
	}
	_, err := grantOf(t, options, mustPolicy(t, "*")).Bind("tcp", "", 80, never(t))
	require.ErrorContains(t, err, "which may bind 1, 2, 2, 2, 2, 2, 2, 2 and 493 more")
}

func TestBindNarrowsToWhatTheOperatorAllows(t *testing.T) {
	const denied = "denied"
	for _, test := range []struct {
		bind  string
		hosts map[string]string // asked for, and what of it is allowed
	}{
		{"*", map[string]string{"": "", "0.0.0.0": "0.0.0.0", "::": "::", "localhost": "localhost", "192.0.2.7": "192.0.2.7"}},
		{"0.0.0.0,::", map[string]string{"": "", "0.0.0.0": "0.0.0.0", "::": "::"}},
		{"0.0.0.0", map[string]string{"": "0.0.0.0", "0.0.0.0": "0.0.0.0", "::": denied, "localhost": "127.0.0.1", "192.0.2.7": "192.0.2.7", "2001:db8::1": denied}},
		{"::/0", map[string]string{"": "::", "0.0.0.0": denied, "::": "::", "localhost": "::1", "192.0.2.7": denied, "::ffff:192.0.2.7": denied}},
		{"192.0.2.7", map[string]string{"": "192.0.2.7", "*": "192.0.2.7", "0.0.0.0": "192.0.2.7", "::": denied, "localhost": denied, "192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "192.0.2.8": denied}},
		{"192.0.2.7,192.0.2.7", map[string]string{"": "192.0.2.7"}},
		{"[2001:db8::1]", map[string]string{"": "2001:db8::1", "::": "2001:db8::1", "0.0.0.0": denied, "2001:DB8:0::1": "2001:db8::1"}},
		{"192.0.2.7,2001:db8::1", map[string]string{"": denied, "0.0.0.0": "192.0.2.7", "::": "2001:db8::1"}},
		{"192.0.2.0/24", map[string]string{"": denied, "0.0.0.0": denied, "192.0.2.9": "192.0.2.9"}},
		{"0.0.0.0/0,2001:db8::1", map[string]string{"": denied, "0.0.0.0": "0.0.0.0", "::": "2001:db8::1"}},
		{"localhost", map[string]string{"": "localhost", "0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "localhost", "127.0.0.2": denied}},
		{"127.0.0.1", map[string]string{"": "127.0.0.1", "localhost": "127.0.0.1", "::1": denied}},
		{"127.0.0.0/8", map[string]string{"localhost": "127.0.0.1", "127.0.0.2": "127.0.0.2", "": denied}},
	} {
		grant := grantOf(t, "", mustPolicy(t, "*", test.bind))
		for asked, allowed := range test.hosts {
			if allowed == denied {
				_, err := grant.Bind("udp", asked, 8080, never(t))
				var d *Denied
				require.ErrorAs(t, err, &d, "%s: %s", test.bind, asked)
				require.Equal(t, LimitOperator, d.Limit)
				continue
			}
			_, err := grant.Bind("udp", asked, 8080, takes(t, allowed, 8080))
			require.NoError(t, err, "%s: %s", test.bind, asked)
		}
	}
}

func TestBindOfPortZeroLetsTheKernelChoose(t *testing.T) {
	for _, options := range []string{``, `permitlisten="*"`, `permitlisten="1024-65535/tcp"`} {
		port, err := grantOf(t, options, mustPolicy(t, "443")).Bind("tcp", "", 0, func(host string, port uint16) (uint16, error) {
			require.Zero(t, port)
			return 40000, nil
		})
		require.NoError(t, err)
		require.EqualValues(t, 40000, port)
	}
	failure := errors.New("no port is free")
	_, err := grantOf(t, "", mustPolicy(t, "*")).Bind("tcp", "", 0, func(string, uint16) (uint16, error) { return 0, failure })
	require.ErrorIs(t, err, failure)
}

func TestBindOfPortZeroTriesPermittedPorts(t *testing.T) {
	inUse := errors.New("in use")
	for _, test := range []struct {
		options, policy string
		tried           string // all ports that may be tried
		tries           int
	}{
		{`permitlisten="27015-27020"`, "*", "27015-27020", 6},
		{`permitlisten="27015-27020"`, "27018-30000", "27018-27020", 3},
		{`permitlisten="27015-27020/udp",permitlisten="30000"`, "*", "27015-27020,30000", 7},
		{`permitlisten="53,27015-27016"`, "*", "27015-27016", 2},
		{`permitlisten="53"`, "*", "53", 1},
		{``, "20000-29999", "20000-29999", maxTries},
		{``, "1-65534", "1024-65534", maxTries},
	} {
		grant := grantOf(t, test.options, mustPolicy(t, test.policy))
		may, err := forward.ParsePorts(test.tried)
		require.NoError(t, err)
		tried := map[uint16]bool{}
		_, err = grant.Bind("udp", "", 0, func(_ string, port uint16) (uint16, error) {
			require.True(t, may.Contains(port), "%+v: %d", test, port)
			require.False(t, tried[port], "%+v: %d twice", test, port)
			tried[port] = true
			return 0, inUse
		})
		require.ErrorIs(t, err, inUse)
		require.ErrorContains(t, err, "bind one of the ports "+listPorts(may))
		require.Len(t, tried, test.tries, "%+v", test)

		// The last port that is tried is taken if it is free.
		n := 0
		port, err := grant.Bind("udp", "", 0, func(_ string, port uint16) (uint16, error) {
			if n++; n < test.tries {
				return 0, inUse
			}
			return port, nil
		})
		require.NoError(t, err)
		require.True(t, may.Contains(port))
	}
}

func TestMayDial(t *testing.T) {
	const options = `permitopen="localhost:80",permitopen="Db.LAN:5432",permitopen="[2001:db8::1]:*",permitopen="*:22"`
	for _, test := range []struct {
		options, host string
		port          uint16
		permitted     bool
	}{
		{"", "localhost", 80, false},
		{"port-forwarding", "localhost", 80, false},
		{options, "localhost", 80, true},
		{options, "LOCALHOST", 80, true},
		{options, "localhost", 81, false},
		{options, "127.0.0.1", 80, false},
		{options, "db.lan", 5432, true},
		{options, "db.lan.", 5432, false},
		{options, "2001:DB8:0::1", 9999, true},
		{options, "2001:db8::2", 9999, false},
		{options, "anything", 22, true},
		{options, "*", 80, false},
		{options, "", 80, false},
		{options, "2001:db8::1", 0, false},
		{`permitopen="*:*"`, "anything", 1, true},
		{`restrict,permitopen="*:*"`, "anything", 1, false},
		{`permitopen="*:*",no-port-forwarding`, "anything", 1, false},
		{`restrict,port-forwarding,permitopen="*:*"`, "anything", 1, true},
	} {
		err := grantOf(t, test.options, mustPolicy(t, "*")).MayDial(test.host, test.port)
		if test.permitted {
			require.NoError(t, err, "%+v", test)
			continue
		}
		var denied *Denied
		require.ErrorAs(t, err, &denied, "%+v", test)
		require.Equal(t, LimitKey, denied.Limit)
	}
	require.EqualError(t, grantOf(t, "", Policy{}).MayDial("db\n", 1),
		`connecting to "db\n" port 1 is not permitted: this key has no permitopen for it`)
}

func TestParsePolicy(t *testing.T) {
	for _, test := range []struct {
		ports, bind []string
		text        string
	}{
		{nil, nil, "ports 1024-65535 on every address"},
		{[]string{"443"}, nil, "ports 443, 1024-65535 on every address"},
		{[]string{"80,443", "53"}, nil, "ports 53, 80, 443, 1024-65535 on every address"},
		{[]string{"20000-30000"}, nil, "ports 20000-30000 on every address"},
		{[]string{"443", "25565"}, nil, "ports 443, 25565 on every address"},
		{[]string{"*"}, nil, "every port on every address"},
		{[]string{"1,3,5,7,9,11,13,15,17"}, nil, "ports 1, 3, 5, 7, 9, 11, 13, 15 and 2 more on every address"},
		{nil, []string{"192.0.2.7", "10.0.0.0/8,::1"}, "ports 1024-65535 on 192.0.2.7, 10.0.0.0/8, ::1"},
		{nil, []string{"0.0.0.0", "::"}, "ports 1024-65535 on every address"},
		{nil, []string{"*"}, "ports 1024-65535 on every address"},
		{nil, []string{"localhost"}, "ports 1024-65535 on 127.0.0.1, ::1"},
	} {
		policy, err := ParsePolicy(test.ports, test.bind)
		require.NoError(t, err)
		require.Equal(t, test.text, policy.String())
	}
	for _, test := range []struct {
		ports, bind, says string
	}{
		{"ssh", "", `allowed ports "ssh": "ssh" is not a port`},
		{"0", "", `port 0 cannot be listed`},
		{"", "eth0", `bind address "eth0" is not an address or prefix: want it as in 192.0.2.7`},
		{"", "10.1.0.0/8", `bind address "10.1.0.0/8" has bits set beyond its prefix length: want 10.0.0.0/8`},
		{"", "192.0.2.7,", `bind address "" is not an address`},
	} {
		var ports, bind []string
		if test.ports != "" {
			ports = []string{test.ports}
		} else {
			bind = []string{test.bind}
		}
		_, err := ParsePolicy(ports, bind)
		require.ErrorContains(t, err, test.says)
	}
}
