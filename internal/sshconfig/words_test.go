package sshconfig

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplitLine(t *testing.T) {
	for text, want := range map[string][]string{
		"":                            {""},
		"  # comment":                 {""},
		"Port 22":                     {"port", "22"},
		"Port=22":                     {"port", "22"},
		"\tPORT \t=\t22 \r\n":         {"port", "22"},
		"Port":                        {"port"},
		"IdentityFile \"a b\" c":      {"identityfile", "a b", "c"},
		"IdentityFile 'a \" b'":       {"identityfile", "a \" b"},
		`IdentityFile a\ b\"c\\d`:     {"identityfile", `a b"c\d`},
		`IdentityFile C:\Users\me`:    {"identityfile", `C:\Users\me`},
		"IdentityFile ~/k#1 # really": {"identityfile", "~/k#1"},
		"User \"\"":                   {"user", ""},
		"User a=b":                    {"user", "a=b"},
		`User a\`:                     {"user", `a\`},
	} {
		keyword, words, err := splitLine(text)
		require.NoError(t, err, text)
		require.Equal(t, want, append([]string{keyword}, words...), text)
	}
	for _, text := range []string{`User "a`, `User 'a"`, `User "a\"`} {
		_, _, err := splitLine(text)
		require.Error(t, err, text)
	}
}

// FuzzReadText checks that no text takes along the block after it, which is for
// this host, and that the warnings name lines there are.
func FuzzReadText(f *testing.F) {
	for _, seed := range []string{
		"Host a\n Port 1\n", "Match exec true\n Port 1\n", "Match host a,b user c\n", "Match final all\n", "Host \"a\n", "ProxyJump x\n",
		"IdentityFile %d/~\n", "User=\"a b\" # c\n", "Match\n", "=\n", "Host\t\n", "Match !host=*\nPort x", "\\\"'\n", "UserKnownHostsFile none\nIdentityFile ${x\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToLower(text), "include") {
			return // reads the machine's files
		}
		r := &reader{alias: "relay", env: environment{home: "/home/u", user: "u"}, unused: make(map[string]bool)}
		r.readText(text+"\nHost relay\n IdentityFile /last\n", source{path: "config", state: yes, outer: yes})
		require.NotEmpty(t, r.identities)
		require.Equal(t, "/last", r.identities[len(r.identities)-1])
		for _, warning := range r.warnings {
			require.True(t, strings.HasPrefix(string(warning), "config:"))
		}
		require.NotNil(t, r.result().IdentityFiles)
	})
}
