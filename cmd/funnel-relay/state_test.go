package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAuthorizeLine: what a user is told to type works in their environment, which
// isn't the relay's.
func TestAuthorizeLine(t *testing.T) {
	home := t.TempDir()
	t.Chdir(home)
	t.Setenv("HOME", home)
	t.Setenv("XDG_STATE_HOME", filepath.Join(home, "state"))
	own := filepath.Join(home, "state", "funnel-relay")
	for _, test := range []struct {
		state   state
		service string // $STATE_DIRECTORY
		want    string
	}{
		{want: ""},
		{state: state{StateDir: own}, want: ""},
		{service: own, want: ""},
		{service: "/var/lib/funnel-relay", want: " --state-dir /var/lib/funnel-relay"},
		{state: state{StateDir: "here"}, service: own, want: " --state-dir " + filepath.Join(home, "here")},
		{state: state{StateDir: "/it's here"}, want: ` --state-dir '/it'\''s here'`},
		{state: state{AuthorizedKeys: "keys", StateDir: own}, want: " --authorized-keys " + filepath.Join(home, "keys")},
	} {
		t.Setenv("STATE_DIRECTORY", test.service)
		require.Equal(t, "funnel-relay authorize"+test.want, test.state.authorizeLine(), "%+v", test)
	}
}

// TestDoubt: who writes where no relay reads is told.
func TestDoubt(t *testing.T) {
	root := t.TempDir()
	t.Setenv("HOME", root)
	t.Setenv("XDG_STATE_HOME", root)
	t.Setenv("STATE_DIRECTORY", "")
	own, service := filepath.Join(root, "funnel-relay"), filepath.Join(root, "service")
	const notRun, notRead = "no relay seems to have run with state directory", "a relay that runs as a service reads"
	check := func(s state, asRoot bool, want ...string) {
		t.Helper()
		doubt := s.doubt(service, asRoot)
		if len(want) == 0 {
			require.Empty(t, doubt)
		}
		for _, part := range want {
			require.Contains(t, doubt, part)
		}
	}
	check(state{}, true, notRun, own)
	require.NotContains(t, (&state{}).doubt(service, true), service)
	check(state{AuthorizedKeys: "anywhere"}, true)

	require.NoError(t, os.Mkdir(service, 0o700))
	check(state{}, true, notRead, "--state-dir "+service)
	check(state{}, false, notRun, "--state-dir "+service)
	check(state{StateDir: service}, true, notRun)

	for _, directory := range []string{own, service} {
		require.NoError(t, os.MkdirAll(directory, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(directory, hostKeyFile), nil, 0o600))
	}
	check(state{}, true, notRead)
	check(state{}, false)
	check(state{StateDir: own}, true)
	check(state{StateDir: service}, true)
	t.Setenv("STATE_DIRECTORY", service)
	check(state{}, true)
}
