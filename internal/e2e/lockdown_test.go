//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"github.com/stretchr/testify/require"
)

// TestRelayIsLockedDown: a relay that runs follows its files however they are
// replaced, and can't get at any other.
func TestRelayIsLockedDown(t *testing.T) {
	if version, err := ll.LandlockGetABIVersion(); err != nil || version < 1 {
		lack(t, "the kernel has no Landlock")
	}
	files, outside := t.TempDir(), t.TempDir()
	keys, revoked := filepath.Join(files, "keys"), filepath.Join(files, "revoked")
	first, second, third := newIdentity(t), newIdentity(t), newIdentity(t)
	elsewhere := filepath.Join(outside, "keys")
	require.NoError(t, os.WriteFile(elsewhere, []byte(third.public+"\n"), 0o600))
	command := func(args ...string) {
		t.Helper()
		require.Zero(t, start(t, filepath.Join(programs, "funnel-relay"), args...).status())
	}

	for _, lockedDown := range []bool{true, false} {
		flags := []string{"--authorized-keys", keys, "--revoked-keys", revoked, "--log-level", "debug"}
		if !lockedDown {
			flags = append(flags, "--no-lockdown")
		}
		_ = os.Remove(keys)
		require.NoError(t, os.WriteFile(revoked, nil, 0o600))
		r := startRelay(t, flags...)
		for _, thread := range threads(t, r.cmd.Process.Pid) {
			require.Contains(t, thread, fmt.Sprintf("\nNoNewPrivs:\t%d\n", map[bool]int{true: 1}[lockedDown]))
		}
		// The file is made, and replaced, by other processes.
		command("authorize", "--authorized-keys", keys, first.public)
		command("authorize", "--authorized-keys", keys, second.public)
		kept, err := r.loginAs("x", first)
		require.NoError(t, err)
		defer kept.Close()
		ended, err := r.loginAs("x", second)
		require.NoError(t, err)
		defer ended.Close()
		command("keys", "revoke", "--authorized-keys", keys, "--revoked-keys", revoked, second.public)
		require.Error(t, ended.Wait())
		_, err = r.loginAs("x", second)
		require.Error(t, err)
		again, err := r.loginAs("x", first)
		require.NoError(t, err)
		require.NoError(t, again.Close())

		// A link leads the relay out of its directories. Root could follow it.
		require.NoError(t, os.Symlink(elsewhere, filepath.Join(files, "link")))
		require.NoError(t, os.Rename(filepath.Join(files, "link"), keys))
		client, err := r.loginAs("x", third)
		if !lockedDown {
			require.NoError(t, err)
			require.NoError(t, client.Close())
			r.kill()
			continue
		}
		require.Error(t, err)
		r.expect(`msg="login refused" .*cause="read authorized keys: open \S+: permission denied"`)
		r.kill()
	}
}

// TestLockedDownRelayTellsTheServiceManager: an abstract socket is out of reach for
// who is locked down (Landlock 6 and later), and so is one with a path (9 and later).
func TestLockedDownRelayTellsTheServiceManager(t *testing.T) {
	if version, err := ll.LandlockGetABIVersion(); err != nil || version < 6 {
		lack(t, "the kernel has no Landlock for sockets")
	}
	m := newManagerAt(t, fmt.Sprintf("@funnel-e2e-%d", os.Getpid()))
	r := &relay{state: t.TempDir()}
	m.start(t, r)
	require.Equal(t, "READY=1", m.told(t))
	require.NoError(t, r.cmd.Process.Signal(syscall.SIGTERM))
	require.Zero(t, r.status())
	require.Equal(t, "STOPPING=1", m.told(t))
}

// threads is what the kernel tells of each thread of a process.
func threads(t testing.TB, pid int) []string {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	require.NoError(t, err)
	var all []string
	for _, path := range paths {
		if status, err := os.ReadFile(path); err == nil { // or it has ended meanwhile
			all = append(all, string(status))
		}
	}
	require.NotEmpty(t, all)
	return all
}

// TestUnsafeFilesOfTheRelay: what others can write is not relied on.
func TestUnsafeFilesOfTheRelay(t *testing.T) {
	state := t.TempDir()
	r := start(t, filepath.Join(programs, "funnel-relay"), "serve", "--listen", "127.0.0.1:0", "--state-dir", state)
	r.expect(`host key SHA256:`)
	r.kill()
	for _, test := range []struct {
		path string
		mode os.FileMode
		says string
	}{
		{"host_ed25519", 0o620, "private key STATE/host_ed25519 is open to others (mode 0620): run \"chmod 600 STATE/host_ed25519\""},
		{"", 0o777, "directory STATE can be changed by others (mode 0777): run \"chmod go-w STATE\""},
	} {
		path := filepath.Join(state, test.path)
		before, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, test.mode))
		p := start(t, filepath.Join(programs, "funnel-relay"), "serve", "--listen", "127.0.0.1:0", "--state-dir", state)
		require.Equal(t, 1, p.status())
		require.Contains(t, p.said(), strings.ReplaceAll(test.says, "STATE", state))
		require.NoError(t, os.Chmod(path, before.Mode()))
	}
}
