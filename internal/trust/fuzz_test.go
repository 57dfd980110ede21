package trust

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh/knownhosts"
)

// seedLines are one line of every kind, and broken ones.
func seedLines(t testing.TB) []string {
	key := newSigner(t)
	seeds := []string{
		entry("host", key), entry("[host]:2222,192.0.2.7", key), entry("*.example.com,!a.example.com", key),
		entry(knownhosts.HashHostname("host"), key), entry("@cert-authority *", key), entry("@revoked *", key),
		entry("host", newECDSA(t)), "# comment\n", "\n", "\t\r\n", "host\n", "host ssh-rsa\n", "@revoked\n",
		"@ @ @\n", "|1||\n", "host ssh-rsa AAAA comment\n", "\x00", "@cert-authority host 1 2 3",
	}
	require.NotEmpty(t, seeds)
	return seeds
}

// FuzzParseLines checks that no text takes the line after it along, and that
// the lines' numbers stay right.
func FuzzParseLines(f *testing.F) {
	for _, seed := range seedLines(f) {
		f.Add([]byte(seed))
	}
	good := entry("good.example.com", newSigner(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		whole := append(bytes.Clone(text), "\n"+good...)
		number := bytes.Count(whole, []byte("\n"))
		lines, problems := parseLines("known_hosts", whole)
		require.NotEmpty(t, lines)
		last := lines[len(lines)-1]
		require.Equal(t, number, last.number)
		require.True(t, last.hosts.match("good.example.com"))
		require.LessOrEqual(t, len(lines)+len(problems), number)
		for _, p := range problems {
			require.Error(t, p.err)
			require.True(t, p.number >= 1 && p.number < number)
			require.Equal(t, fmt.Sprintf("known_hosts:%d", p.number), p.String())
		}
		for _, l := range lines {
			require.NotNil(t, l.key)
			l.hosts.match("good.example.com")
			l.hosts.match("[good.example.com]:2222")
		}
	})
}

// FuzzParseHost checks that what is written to a file is one name and is read
// back as the same host.
func FuzzParseHost(f *testing.F) {
	for _, seed := range []string{"host:22", relay, "[::1]:22", "[fe80::1%eth0]:2222", ":22", "a b:1", "a:b:c", "[[a]]:22", "*:22"} {
		f.Add(seed)
	}
	key := newSigner(f)
	f.Fuzz(func(t *testing.T, hostport string) {
		at, err := parseHost(hostport)
		if err != nil {
			return
		}
		text := formatLine(at, key.PublicKey())
		lines, problems := parseLines("known_hosts", []byte(text+"\n"))
		require.Empty(t, problems)
		require.Len(t, lines, 1)
		require.True(t, lines[0].hosts.match(at.name), "%q", at.name)
		require.Len(t, strings.Split(text, "\n"), 1)
	})
}
