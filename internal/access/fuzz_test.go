package access

import (
	"errors"
	"iter"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
)

// Whatever stands in the file, a login ends in a grant or an error, and a bind
// in a try or a denial.
func FuzzAuthorizedKeys(f *testing.F) {
	key := keyText(testKey(f, 1))
	for _, seed := range []string{
		key, key + " home\r\n", "# x\n\n" + key, `permitlisten="80/udp",permitlisten="localhost:*" ` + key,
		`restrict,port-forwarding,permitopen="a:1" ` + key, `from="!10.0.0.0/8,*",expiry-time="20301231Z" ` + key,
		`command="a \"b\" c" ` + key, `command="` + key, "cert-authority " + key, "ssh-ed25519 AAAA", "\ufeff" + key,
		`cert-authority,principals="a,b",max-flows="9",max-bandwidth="1M" ` + key,
		`permitlisten="1-65535"` + "\t" + key + "\x00\xff", ",,, " + key, "=\" " + key, "ssh-", `"\" ` + key,
	} {
		f.Add([]byte(seed))
	}
	policy := mustPolicy(f, "*", "127.0.0.0/8")
	f.Fuzz(func(t *testing.T, data []byte) {
		keys := NewKeys("", policy, nil)
		version := keys.parse(data)
		total := 0
		for blob, entries := range joined(version.keys, version.authorities) {
			require.NotEmpty(t, blob)
			total += len(entries)
			for _, e := range entries {
				_ = e.options.limits.String()
				require.Equal(t, cleanName(e.name), e.name)
				require.LessOrEqual(t, len(e.name), maxName)
				_ = e.admit(netip.Addr{}, noon)
				_ = e.admit(remote, noon)
				checkGrant(t, &Grant{forwarding: e.options.forwarding, listen: e.options.listen, open: e.options.open, policy: policy})
			}
		}
		require.Equal(t, total, version.count)
		number, text := findKey(data, testKey(t, 1))
		require.Equal(t, number > 0, text != "")
	})
}

// joined yields what is in both maps.
func joined(maps ...map[string][]*entry) iter.Seq2[string, []*entry] {
	return func(yield func(string, []*entry) bool) {
		for _, m := range maps {
			for blob, entries := range m {
				if !yield(blob, entries) {
					return
				}
			}
		}
	}
}

func checkGrant(t *testing.T, grant *Grant) {
	full := errors.New("full")
	for _, host := range []string{"", "localhost", "127.0.0.1", "::1", "x"} {
		for _, port := range []uint16{0, 80} {
			tried := false
			_, err := grant.Bind("udp", host, port, func(got string, gotPort uint16) (uint16, error) {
				tried = true
				require.True(t, got == "127.0.0.1", got)
				return gotPort, full
			})
			var denied *Denied
			require.NotEqual(t, tried, errors.As(err, &denied))
			require.Equal(t, tried, errors.Is(err, full))
			require.NotContains(t, err.Error(), "\n")
		}
	}
	_ = grant.MayDial("a", 1)
}

func FuzzParsePermit(f *testing.F) {
	for _, seed := range []string{
		"25565", "27015-27020/udp", "*", "*:*/tcp", "localhost:80,443", "[::1]:8080", ":1", "[]:1", "[", "/", "a/b", "0", "::", "[2001:db8:*]:1-2,2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		permit, err := ParsePermit(text)
		if err != nil {
			require.Zero(t, permit)
			return
		}
		require.NotEmpty(t, permit.Ports)
		again, err := ParsePermit(permit.String())
		require.NoError(t, err)
		require.Equal(t, permit, again)
		var ports forward.Ports
		for _, option := range permit.options() {
			o, warnings, err := parseOptions(option)
			require.NoError(t, err, option)
			require.Empty(t, warnings)
			require.Len(t, o.listen, 1)
			require.Equal(t, []any{permit.Host, permit.Network}, []any{o.listen[0].Host, o.listen[0].Network})
			ports = ports.Union(o.listen[0].Ports)
		}
		require.Equal(t, permit.Ports, ports)
	})
}

func FuzzParseKey(f *testing.F) {
	key := keyText(testKey(f, 1))
	for _, seed := range []string{
		key, key + " home", "\ufeff# x\r\n" + key + "\tb\x00", "restrict " + key, key[:40], strings.Fields(key)[1],
		key + "\n" + key, "-----BEGIN OPENSSH PRIVATE KEY-----", "~/.ssh/id.pub", "SHA256:x", "ssh-ed25519 ", "\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, comment, err := ParseKey(text)
		if err != nil {
			require.Nil(t, key)
			require.Empty(t, comment)
			return
		}
		line, err := formatLine(key, comment, nil)
		require.NoError(t, err)
		again, e, warnings, err := parseEntry(line)
		require.NoError(t, err)
		require.Empty(t, warnings)
		require.Equal(t, key.Marshal(), again.Marshal())
		require.Equal(t, comment, e.name)
	})
}
