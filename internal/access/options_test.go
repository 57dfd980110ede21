package access

import (
	"crypto/rsa"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"funnel/internal/forward"
)

func TestOptionsThatSSHDKnowsAreAccepted(t *testing.T) {
	for _, options := range []string{
		"", "restrict", "no-pty,no-X11-forwarding,no-agent-forwarding,no-user-rc",
		"agent-forwarding,x11-forwarding,PTY,user-rc,touch-required,no-verify-required",
		`command="echo \"hello, world\"; exit 1"`, `command="a \b"`, `command=""`,
		`environment="A=b c",environment="D=e"`, `tunnel="0"`,
		`Restrict,Port-Forwarding,PermitListen="8080"`,
		`permitlisten="localhost:8080",permitlisten="[::1]:22000",permitlisten="*:*"`,
		`permitopen="192.0.2.1:80",permitopen="[2001:db8::1]:*",permitopen="*:22"`,
		`from="!192.0.2.1,192.0.2.0/24,2001:db8::/32,203.0.113.*,*"`,
		`expiry-time="20301231"`, "restrict,",
	} {
		f := newTestFile(t, strings.TrimSpace(options+" "+keyText(testKey(t, 1))))
		_, err := f.authorize(1)
		require.NoError(t, err, options)
		require.Empty(t, f.warnings(), options)
	}
}

// A key whose options aren't understood as a whole isn't accepted: what wasn't
// understood may have been a restriction.
func TestOptionsThatAreRefused(t *testing.T) {
	for options, says := range map[string]string{
		"no-such-option":                    `"no-such-option" is not known`,
		`no-such-option="x"`:                `"no-such-option" is not known`,
		`restrict="yes"`:                    `"restrict" is not known`,
		"permitlisten":                      `"permitlisten" is not known`,
		"command":                           `"command" is not known`,
		"permitlisten=8080":                 `must stand in double quotes`,
		`permitlisten="8080`:                `closing quote is missing`,
		`,restrict`:                         `an option is empty`,
		`restrict,,pty`:                     `an option is empty`,
		`permitlisten="8080"permitopen="x"`: `is followed by`,
		`restrict"x"`:                       `is followed by`,
		`="x"`:                              `an option is empty`,
		`permitlisten=""`:                   `it is empty`,
		`permitlisten="0"`:                  `port 0 cannot be listed`,
		`permitlisten="8080/sctp"`:          `network \"sctp\" is not known`,
		`permitlisten="http"`:               `\"http\" is not a port`,
		`permitlisten="::1:80"`:             `in brackets`,
		`permitlisten="a b:80"`:             `not an address, a name or a pattern`,
		`permitopen="80"`:                   `want host:port`,
		`permitopen=":80"`:                  `want host:port`,
		`permitopen="*.lan:80"`:             `without wildcards`,
		`permitopen="lan?:80"`:              `without wildcards`,
		`permitopen="a:x"`:                  `not a port`,
		`from=""`:                           `a pattern is empty`,
		`from="192.0.2.1,"`:                 `a pattern is empty`,
		`from="192.0.2.1/24"`:               `want 192.0.2.0/24`,
		`from="192.0.2.0/33"`:               `not an address and a prefix length`,
		`from="a/b"`:                        `not an address and a prefix length`,
		`from="!evil.example,*"`:            `looks up no names`,
		`from="*",from="*"`:                 `stands there twice`,
		`expiry-time="tomorrow"`:            `not a date or time`,
		`expiry-time="20301331"`:            `not a date or time`,
		`expiry-time="2030123123"`:          `not a date or time`,
		`expiry-time=""`:                    `not a date or time`,
		"verify-required":                   `not supported yet`,
		`principals="a,b"`:                  `wants cert-authority`,
		`cert-authority,principals=","`:     `names nobody`,
		`max-forwards="0"`:                  `want a number from 1`,
		`max-flows="many"`:                  `want a number from 1`,
		`max-bandwidth="10X"`:               `want bits per second`,
		`max-bandwidth="1"`:                 `want bits per second`,
		`max-forward-bandwidth="9999999G"`:  `want bits per second`,
		"max-connections":                   `"max-connections" is not known`,
	} {
		f := newTestFile(t, options+" "+keyText(testKey(t, 1)))
		_, err := f.authorize(1)
		require.ErrorIs(t, err, ErrUnknownKey, options)
		warnings := f.warnings()
		require.Len(t, warnings, 1, options)
		// The log's quoting doubles backslashes before quotes.
		require.Contains(t, strings.ReplaceAll(warnings[0], `\`, ``), strings.ReplaceAll(says, `\`, ``), options)
		require.Contains(t, warnings[0], "line=1")
	}
}

func TestRestrictAndPortForwardingInOrder(t *testing.T) {
	for options, permitted := range map[string]bool{
		"":                               true,
		"restrict":                       false,
		"no-port-forwarding":             false,
		"restrict,port-forwarding":       true,
		"port-forwarding,restrict":       false,
		`restrict,permitlisten="8080"`:   false,
		`restrict,pty,command="x"`:       false,
		`permitlisten="*",no-pty,no-pty`: true,
		"no-port-forwarding,no-X11-forwarding,port-forwarding": true,
	} {
		_, err := grantOf(t, options, mustPolicy(t, "*")).Bind("tcp", "", 8080, takes(t, "", 8080))
		require.Equal(t, permitted, err == nil, "%s: %v", options, err)
	}
}

func TestExpiry(t *testing.T) {
	local := time.Local
	defer func() { time.Local = local }()
	time.Local = time.FixedZone("east", 2*3600)
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		require.NoError(t, err)
		return when
	}
	for _, test := range []struct{ expiry, last string }{
		{"20261123", "2026-11-23T00:00:00+02:00"},
		{"20261123Z", "2026-11-23T00:00:00Z"},
		{"202611231830", "2026-11-23T18:30:00+02:00"},
		{"202611231830Z", "2026-11-23T18:30:00Z"},
		{"20261123183059", "2026-11-23T18:30:59+02:00"},
		{"20261123183059Z", "2026-11-23T18:30:59Z"},
		{`20261123183059Z",expiry-time="20261122Z`, "2026-11-22T00:00:00Z"},
	} {
		f := newTestFile(t, `expiry-time="`+test.expiry+`" `+keyText(testKey(t, 1)))
		_, err := f.keys.Authorize("tunnel", testKey(t, 1), remote, at(test.last))
		require.NoError(t, err, test.expiry)
		_, err = f.keys.Authorize("tunnel", testKey(t, 1), remote, at(test.last).Add(time.Second))
		require.ErrorContains(t, err, "it expired at ", test.expiry)
	}
}

func TestFrom(t *testing.T) {
	for _, test := range []struct {
		from      string
		yes, no   []string
		isWarning bool
	}{
		{from: "192.0.2.1", yes: []string{"192.0.2.1", "::ffff:192.0.2.1"}, no: []string{"192.0.2.10", "2001:db8::1"}},
		{from: "::ffff:192.0.2.1", yes: []string{"192.0.2.1"}, no: []string{"192.0.2.2"}},
		{from: "192.0.2.0/24", yes: []string{"192.0.2.0", "192.0.2.255", "::ffff:192.0.2.7"}, no: []string{"192.0.3.0", "::1"}},
		{from: "::ffff:192.0.2.0/120", yes: []string{"192.0.2.7"}, no: []string{"192.0.3.0"}},
		{from: "2001:DB8::/32", yes: []string{"2001:db8::1"}, no: []string{"2001:db9::1", "192.0.2.1"}},
		{from: "fe80::1", yes: []string{"fe80::1%eth0"}, no: []string{"fe80::2"}},
		{from: "192.0.2.*", yes: []string{"192.0.2.1", "192.0.2.255"}, no: []string{"192.0.20.1"}},
		{from: "192.0.2.?", yes: []string{"192.0.2.1"}, no: []string{"192.0.2.10"}},
		{from: "*", yes: []string{"192.0.2.1", "2001:db8::1"}},
		{from: "*,!192.0.2.1", yes: []string{"192.0.2.2"}, no: []string{"192.0.2.1"}},
		{from: "!192.0.2.1,*", yes: []string{"192.0.2.2"}, no: []string{"192.0.2.1"}},
		{from: "!192.0.2.0/24,192.0.0.0/16", yes: []string{"192.0.3.1"}, no: []string{"192.0.2.1", "192.1.0.1"}},
		{from: "!192.0.2.1", no: []string{"192.0.2.1", "192.0.2.2"}},
		{from: "192.0.2.1, 192.0.2.2", yes: []string{"192.0.2.1", "192.0.2.2"}, no: []string{"192.0.2.3"}},
		{from: "home.example,192.0.2.1", yes: []string{"192.0.2.1"}, no: []string{"192.0.2.2"}, isWarning: true},
		{from: "home.example", no: []string{"192.0.2.1"}, isWarning: true},
	} {
		f := newTestFile(t, `from="`+test.from+`" `+keyText(testKey(t, 1)))
		login := func(addr netip.Addr) error {
			_, err := f.keys.Authorize("tunnel", testKey(t, 1), addr, noon)
			return err
		}
		for _, addr := range test.yes {
			require.NoError(t, login(netip.MustParseAddr(addr)), "%s from %s", test.from, addr)
		}
		for _, addr := range test.no {
			require.ErrorContains(t, login(netip.MustParseAddr(addr)), "may not log in from", "%s from %s", test.from, addr)
		}
		require.Error(t, login(netip.Addr{}), "an unknown address is from nowhere")
		require.Equal(t, test.isWarning, len(f.warnings()) > 0, test.from)
	}
}

func TestTouch(t *testing.T) {
	for options, want := range map[string]bool{"": false, "no-touch-required": true, "no-touch-required,touch-required": false} {
		require.Equal(t, want, grantOf(t, options, Policy{}).NoTouchRequired, options)
	}
}

func TestKeysThatAreTooWeakAreRefused(t *testing.T) {
	wire := func(key any) string {
		parsed, err := ssh.ParsePublicKey(ssh.Marshal(key))
		require.NoError(t, err)
		return keyText(parsed)
	}
	modulus := func(bits uint) *big.Int { return new(big.Int).SetBit(big.NewInt(1), int(bits-1), 1) }
	public, err := ssh.NewPublicKey(&rsa.PublicKey{N: modulus(minRSA), E: 65537})
	require.NoError(t, err)
	require.NoError(t, checkStrength(public))

	type rsaWire struct {
		Name string
		E, N *big.Int
	}
	type dsaWire struct {
		Name       string
		P, Q, G, Y *big.Int
	}
	for text, says := range map[string]string{
		wire(rsaWire{"ssh-rsa", big.NewInt(65537), modulus(minRSA - 1)}):                                            "2047 bits is too weak",
		wire(dsaWire{"ssh-dss", modulus(1024), modulus(160), big.NewInt(2), new(big.Int).Lsh(big.NewInt(1), 1000)}): "DSA keys are too weak",
	} {
		_, err := parseLine(text)
		require.ErrorContains(t, err, says)
		_, _, err = ParseKey(text)
		require.ErrorContains(t, err, says)
	}
}

func TestParsePermit(t *testing.T) {
	ports := func(text string) forward.Ports {
		p, err := forward.ParsePorts(text)
		require.NoError(t, err)
		return p
	}
	for _, test := range []struct {
		text string
		want Permit
		back string
	}{
		{"25565", Permit{"*", ports("25565"), ""}, "25565"},
		{"25565/udp", Permit{"*", ports("25565"), "udp"}, "25565/udp"},
		{"25565/TCP", Permit{"*", ports("25565"), "tcp"}, "25565/tcp"},
		{"27015-27020/udp", Permit{"*", ports("27015-27020"), "udp"}, "27015-27020/udp"},
		{"80,443/tcp", Permit{"*", ports("80,443"), "tcp"}, "80,443/tcp"},
		{"*", Permit{"*", ports("*"), ""}, "*"},
		{"*/udp", Permit{"*", ports("*"), "udp"}, "*/udp"},
		{"*:8080", Permit{"*", ports("8080"), ""}, "8080"},
		{"LocalHost:8080", Permit{"localhost", ports("8080"), ""}, "localhost:8080"},
		{"[::1]:8080", Permit{"::1", ports("8080"), ""}, "[::1]:8080"},
		{"[0:0::1]:*/tcp", Permit{"::1", ports("*"), "tcp"}, "[::1]:*/tcp"},
		{"[2001:db8:*]:80", Permit{"2001:db8:*", ports("80"), ""}, "[2001:db8:*]:80"},
		{"192.0.2.*:80", Permit{"192.0.2.*", ports("80"), ""}, "192.0.2.*:80"},
		{":80", Permit{"", ports("80"), ""}, ":80"},
	} {
		got, err := ParsePermit(test.text)
		require.NoError(t, err, test.text)
		require.Equal(t, test.want, got, test.text)
		require.Equal(t, test.back, got.String(), test.text)
	}
	for text, says := range map[string]string{
		"":            `permit "": it is empty: want ports, as in 25565 or 27015-27020/udp`,
		"minecraft":   `"minecraft" is not a port`,
		"25565/":      `network "" is not known`,
		"25565/quic":  `network "quic" is not known: want /tcp, /udp`,
		"1-0":         `range "1-0" ends before it starts`,
		"::1:80":      `IPv6 addresses stand in brackets`,
		"[::1]80":     `in brackets, as in [::1]:8080`,
		"a\"b:80":     `is not an address, a name or a pattern`,
		"a\nb:80":     `is not an address, a name or a pattern`,
		"0":           `port 0 cannot be listed`,
		"80 /udp":     `is not a port`,
		"80/udp/udp":  `network "udp/udp" is not known`,
		"localhost:":  `is not a port`,
		"[::1]:80:81": `too many colons`,
	} {
		got, err := ParsePermit(text)
		require.ErrorContains(t, err, says)
		require.Zero(t, got)
	}
}
