package sshconfig

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseDestination(t *testing.T) {
	for text, want := range map[string]struct {
		user, host string
		port       uint16
	}{
		"relay":                              {"", "relay", 0},
		"relay:2222":                         {"", "relay", 2222},
		"tunnel@relay":                       {"tunnel", "relay", 0},
		"tunnel@relay.example.com:65535":     {"tunnel", "relay.example.com", 65535},
		"me@corp@relay":                      {"me@corp", "relay", 0},
		"192.0.2.7:22":                       {"", "192.0.2.7", 22},
		"[2001:db8::1]":                      {"", "2001:db8::1", 0},
		"[2001:db8::1]:2222":                 {"", "2001:db8::1", 2222},
		"tunnel@[fe80::1%eth0]:2222":         {"tunnel", "fe80::1%eth0", 2222},
		"2001:db8::1":                        {"", "2001:db8::1", 0},
		"tunnel@::1":                         {"tunnel", "::1", 0},
		"[relay.example.com]:2222":           {"", "relay.example.com", 2222},
		"ssh://relay":                        {"", "relay", 0},
		"SSH://tunnel@relay:2222":            {"tunnel", "relay", 2222},
		"ssh://tunnel@relay:2222/":           {"tunnel", "relay", 2222},
		"ssh://my%20name%40corp@[::1]:22":    {"", "", 0}, // a space is no part of a name
		"ssh://name%40corp@[2001:db8::1]:22": {"name@corp", "2001:db8::1", 22},
		"my_nas-2":                           {"", "my_nas-2", 0},
	} {
		user, host, port, err := ParseDestination(text)
		if want.host == "" {
			require.ErrorContains(t, err, "character", text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want.user, user, text)
		require.Equal(t, want.host, host, text)
		require.Equal(t, want.port, port, text)
	}
}

func TestParseDestinationRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "names no host",
		"@relay":                 "no user",
		"tunnel@":                "names no host",
		"relay:":                 "no port",
		"relay:0":                "1 to 65535",
		"relay:65536":            "1 to 65535",
		"relay:ssh":              "1 to 65535",
		"relay:+22":              "1 to 65535",
		":22":                    "names no host",
		"[::1":                   "not closed",
		"[::1]22":                "follow the bracket",
		"[::1]:":                 "follow the bracket",
		"[]:22":                  "names no host",
		"[[::1]]":                "follow the bracket",
		"1:2:3":                  "in brackets",
		"a b":                    "character",
		"a\nb":                   "character",
		"-oProxyCommand=x":       "begin with -",
		"-x@relay":               "begin with -",
		"a;b@relay":              "character",
		"relay/path":             "character",
		"*.example.com":          "character",
		"ssh://relay/path":       "character",
		"ssh://":                 "names no host",
		"ssh://u:pw@relay":       "password",
		"ssh://u;x=y@relay":      "parameters",
		"ssh://u%zz@relay":       "escape",
		"http://relay":           "only form",
		"relay%eth0":             "character",
		"[fe80::1%a b]:22":       "character",
		"tunnel@relay:2222:3333": "in brackets",
	} {
		_, _, _, err := ParseDestination(text)
		require.ErrorContains(t, err, want, text)
		require.ErrorContains(t, err, strconv.Quote(text))
		require.ErrorContains(t, err, "tunnel@relay.example.com:2222")
	}
}

// FuzzParseDestination checks that what is accepted, written out again, is read
// as the same.
func FuzzParseDestination(f *testing.F) {
	for _, seed := range []string{
		"relay", "tunnel@relay:2222", "a@b@c", "[::1]:22", "::1", "ssh://u%40v@h:1/", "[fe80::1%eth0]", "h:", "@", "[", "ssh://", "1:2:3",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		user, host, port, err := ParseDestination(text)
		if err != nil {
			require.Zero(t, user+host)
			require.Zero(t, port)
			return
		}
		require.NotEmpty(t, host)
		again := host
		if strings.Contains(host, ":") {
			again = "[" + host + "]"
		}
		if port != 0 {
			again = net.JoinHostPort(host, strconv.Itoa(int(port)))
		}
		if user != "" {
			again = user + "@" + again
		}
		user2, host2, port2, err := ParseDestination(again)
		require.NoError(t, err, again)
		require.Equal(t, user, user2)
		require.Equal(t, host, host2)
		require.Equal(t, port, port2)
	})
}
