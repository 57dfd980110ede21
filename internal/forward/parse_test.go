package forward

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	one := func(bind string, port uint16, target string, targetPort uint16) []Forward {
		return []Forward{{TCP, bind, port, target, targetPort}}
	}
	for _, test := range []struct {
		spec string
		want []Forward
	}{
		{"25565", one("", 25565, "127.0.0.1", 25565)},
		{"1", one("", 1, "127.0.0.1", 1)},
		{"65535", one("", 65535, "127.0.0.1", 65535)},
		{"*:25565", one("", 25565, "127.0.0.1", 25565)},
		{":25565", one("", 25565, "127.0.0.1", 25565)},
		{"0.0.0.0:25565", one("0.0.0.0", 25565, "127.0.0.1", 25565)},
		{"[::]:25565", one("::", 25565, "127.0.0.1", 25565)},
		{"localhost:25565", one("localhost", 25565, "127.0.0.1", 25565)},
		{"relay.example.com:25565", one("relay.example.com", 25565, "127.0.0.1", 25565)},
		{"8080:localhost:80", one("", 8080, "localhost", 80)},
		{"8080:192.168.1.7:80", one("", 8080, "192.168.1.7", 80)},
		{"8080:[fd00::7]:80", one("", 8080, "fd00::7", 80)},
		{"8080:[fe80::7%eth0]:80", one("", 8080, "fe80::7%eth0", 80)},
		{"8080:game_server.lan:80", one("", 8080, "game_server.lan", 80)},
		{"8080:bücher.example:80", one("", 8080, "bücher.example", 80)},
		{"0:localhost:25565", one("", 0, "localhost", 25565)},
		{"0.0.0.0:8080:localhost:80", one("0.0.0.0", 8080, "localhost", 80)},
		{":8080:localhost:80", one("", 8080, "localhost", 80)},
		{"*:0:localhost:80", one("", 0, "localhost", 80)},
		{"[::1]:8080:[fd00::7]:80", one("::1", 8080, "fd00::7", 80)},
		{"8080-8080:localhost:80", one("", 8080, "localhost", 80)},
		{"27015-27017", []Forward{
			{TCP, "", 27015, "127.0.0.1", 27015},
			{TCP, "", 27016, "127.0.0.1", 27016},
			{TCP, "", 27017, "127.0.0.1", 27017},
		}},
		{"127.0.0.1:27015-27016:game.lan:30000", []Forward{
			{TCP, "127.0.0.1", 27015, "game.lan", 30000},
			{TCP, "127.0.0.1", 27016, "game.lan", 30001},
		}},
		{"65534-65535:game.lan:1-2", []Forward{
			{TCP, "", 65534, "game.lan", 1},
			{TCP, "", 65535, "game.lan", 2},
		}},
		{"1-2:game.lan:65534", []Forward{
			{TCP, "", 1, "game.lan", 65534},
			{TCP, "", 2, "game.lan", 65535},
		}},
	} {
		t.Run(test.spec, func(t *testing.T) {
			got, err := Parse(TCP, test.spec)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
		})
	}
}

func TestParseLargestRange(t *testing.T) {
	got, err := Parse(UDP, "64512-65535")
	require.NoError(t, err)
	require.Len(t, got, MaxRange)
	require.Equal(t, Forward{UDP, "", 65535, "127.0.0.1", 65535}, got[MaxRange-1])
}

// Each refusal quotes the SPEC and the part that is wrong, and shows how it
// would be right.
func TestParseRefuses(t *testing.T) {
	for _, test := range []struct {
		spec, quotes, says, example string
	}{
		{"", `""`, "empty", "25565"},
		{"minecraft", `"minecraft"`, "not a port", "25565"},
		{"-1", `""`, "not a port", "25565"},
		{"+80", `"+80"`, "not a port", "25565"},
		{" 80", `" 80"`, "not a port", "25565"},
		{"65536", `"65536"`, "not a port", "25565"},
		{"80-", `""`, "not a port", "25565"},
		{"1-2-3", `"2-3"`, "not a port", "25565"},
		{"27020-27015", `"27020-27015"`, "ends before it starts", "27015-27020"},
		{"0-5", `"0-5"`, "starts at 0", "27015-27020"},
		{"1-65535", `"1-65535"`, "at most 1024", "27015-27020"},
		{"0", `"0"`, "needs a target", "0:127.0.0.1:25565"},
		{"0.0.0.0:0", `"0.0.0.0:0"`, "needs a target", "0:127.0.0.1:25565"},
		{"8080:80", `"8080"`, "not a bind address", "8080:127.0.0.1:80"},
		{"8080:20-30", `"8080"`, "not a bind address", "as in 8080:127.0.0.1:80"},
		{"8080:nas.lan", `"8080"`, "not a bind address", "as in 8080:nas.lan:8080"},
		{"8080:192.168.1.7", `"8080"`, "not a bind address", "as in 8080:192.168.1.7:8080"},
		{"8080:[fd00::7]", `"8080"`, "not a bind address", "as in 8080:[fd00::7]:8080"},
		{"8080:", `"8080"`, "not a bind address", "as in 8080:127.0.0.1:8080"},
		{"8080:a b", `"8080"`, "not a bind address", "as in 8080:127.0.0.1:8080"},
		{"99999:nas.lan", `"99999"`, "not a bind address", "as in 8080:127.0.0.1:80"},
		{"8080:localhost:0", `"0"`, "cannot be reached", "25565"},
		{"8080:localhost:http", `"http"`, "not a port", "25565"},
		{"8080:localhost:", `""`, "not a port", "25565"},
		{"8080::80", `"8080::80"`, "host is empty", "25565:127.0.0.1:25565"},
		{"8080:my host:80", `"my host"`, "neither a name nor an address", "8080:192.168.1.7:80"},
		{"8080:/run/game.sock:80", `"/run/game.sock"`, "neither a name nor an address", "8080:192.168.1.7:80"},
		{"8080:192.168.1:80", `"192.168.1"`, "not an IPv4 address", "8080:192.168.1.7:80"},
		{"1.2.3.256:80", `"1.2.3.256"`, "not an IPv4 address", "0.0.0.0:25565"},
		{"a b:80", `"a b"`, "neither a name nor an address", "0.0.0.0:25565"},
		{"::1:8080:localhost:80", `"::1:8080:localhost:80"`, "in brackets", "[::1]:8080"},
		{"fd00::7:8080", `"fd00::7:8080"`, "in brackets", "[::1]:8080"},
		{"fd00::8080", `"fd00::8080"`, "in brackets", "[::1]:8080"},
		{"8080:fd00::7:80", `"8080:fd00::7:80"`, "in brackets", "[fd00::7]:80"},
		{"[::1", `"[::1"`, "closing bracket", "[::1]:8080"},
		{"[::1]8080", `"8080"`, "colon", "[::1]:8080"},
		{"[::1]", `"[::1]"`, "not a port", "25565"},
		{"[localhost]:80", `"localhost"`, "not an IPv6 address", "[::1]:25565"},
		{"[127.0.0.1]:80", `"127.0.0.1"`, "not an IPv6 address", "[::1]:25565"},
		{"[]:80", `""`, "not an IPv6 address", "[::1]:25565"},
		{"8080:[*]:80", `"*"`, "not an IPv6 address", "[fd00::7]:80"},
		{"[fe80::1%\n]:80", `"fe80::1%\n"`, "not an IPv6 address", "[::1]:25565"},
		{"27015-27020:localhost:1-2", `"1-2"`, "has 2 ports", "27015-27020:127.0.0.1:30000"},
		{"27015:localhost:1-2", `"1-2"`, "has 2 ports", "27015-27020:127.0.0.1:30000"},
		{"1-3:localhost:65534", `"65534"`, "no room", "27015-27020:127.0.0.1:30000"},
		{strings.Repeat("x", 300) + ":80", `"xxxx`, "longer than 255", "localhost:25565"},
	} {
		t.Run(test.spec, func(t *testing.T) {
			got, err := Parse(TCP, test.spec)
			require.Nil(t, got)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), "forward "+quote(test.spec)+": "), err)
			require.Contains(t, err.Error(), test.quotes)
			require.Contains(t, err.Error(), test.says)
			require.Contains(t, err.Error(), test.example)
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 500)
			if _, example, found := strings.Cut(err.Error(), "name the target too, as in "); found {
				_, err := Parse(TCP, example)
				require.NoError(t, err, "what is suggested would do")
			}
		})
	}
}

func TestParseRefusesNetwork(t *testing.T) {
	_, err := Parse("sctp", "25565")
	require.ErrorContains(t, err, `network "sctp" of forward "25565": want tcp or udp`)
}

func TestForwardTexts(t *testing.T) {
	for _, test := range []struct{ spec, listen, target, text string }{
		{"25565", ":25565", "127.0.0.1:25565", "udp :25565 -> 127.0.0.1:25565"},
		{"0.0.0.0:1:[::1]:2", "0.0.0.0:1", "[::1]:2", "udp 0.0.0.0:1 -> [::1]:2"},
		{"[::]:0:localhost:2", "[::]:0", "localhost:2", "udp [::]:0 -> localhost:2"},
	} {
		got, err := Parse(UDP, test.spec)
		require.NoError(t, err)
		require.Equal(t, test.listen, got[0].Listen())
		require.Equal(t, test.target, got[0].Target())
		require.Equal(t, test.text, got[0].String())
	}
}

// Whatever is taken can be written as a SPEC again that means the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"25565", "0.0.0.0:25565", "*:1", ":1", "8080:localhost:80", "[::1]:8080:[fd00::7%eth0]:80",
		"27015-27020", "27015-27020:a:1-6", "1-1025", "0:a:1", "0", "[", "[]", "[::1]x", ":::", "::::", "a:b:c:d:e", "1-", "-", "\x00:1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		forwards, err := Parse(TCP, spec)
		if err != nil {
			require.Nil(t, forwards)
			return
		}
		require.NotEmpty(t, forwards)
		require.LessOrEqual(t, len(forwards), MaxRange)
		for i, one := range forwards {
			require.NotZero(t, one.TargetPort)
			require.NotEmpty(t, one.TargetHost)
			require.Equal(t, forwards[0].BindHost, one.BindHost)
			require.Equal(t, int(forwards[0].BindPort)+i, int(one.BindPort))
			require.Equal(t, int(forwards[0].TargetPort)+i, int(one.TargetPort))
			again, err := Parse(TCP, one.Listen()+":"+one.Target())
			require.NoError(t, err)
			require.Equal(t, []Forward{one}, again)
		}
	})
}
