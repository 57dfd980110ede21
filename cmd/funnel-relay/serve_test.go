package main

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What runs in the test's own process must not lock it down.

// TestServe: the relay says where and who it is and what to type next, and who
// stops it meets no error.
func TestServe(t *testing.T) {
	directory := t.TempDir()
	greetings := make([]string, 2)
	for i := range greetings {
		ctx, cancel := context.WithCancel(t.Context())
		stdout, w := io.Pipe()
		var stderr bytes.Buffer
		status := make(chan int, 1)
		go func() {
			status <- run(ctx, []string{"--no-lockdown", "--listen", "127.0.0.1:0", "--state-dir", directory, "--allow-ports", "41200"}, strings.NewReader(""), w, &stderr)
			w.Close()
		}()
		greeting := make([]byte, 0, 4096)
		for !strings.Contains(string(greeting), "no key may log in yet") {
			buffer := make([]byte, 1024)
			n, err := stdout.Read(buffer)
			require.NoError(t, err, "so far: %s", greeting)
			greeting = append(greeting, buffer[:n]...)
		}
		go io.Copy(io.Discard, stdout)
		cancel()
		require.Zero(t, <-status)
		require.Empty(t, stderr.String())
		greetings[i] = string(greeting)
		require.Regexp(t, `^funnel-relay \S+ listening on 127\.0\.0\.1:\d+\nhost key SHA256:\S+ \(ed25519\)\n`, greetings[i])
		require.Regexp(t, `\n\n  funnel-agent --host-key SHA256:\S+ --tcp 41200 127\.0\.0\.1:\d+\n\n`, greetings[i])
		require.Contains(t, greetings[i], `run "funnel-relay authorize --state-dir `+directory+` 'KEY'"`)
		require.Contains(t, greetings[i], filepath.Join(directory, "authorized_keys"))
	}
	hostKey := func(s string) string { return strings.Split(s, "\n")[1] }
	require.Equal(t, hostKey(greetings[0]), hostKey(greetings[1]), "the key is made once")
}

// TestFilesThatAreMissing: a file that is named and isn't there keeps somebody out,
// which is said, and not that a key would help.
func TestFilesThatAreMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for flag, says := range map[string]string{
		"--revoked-keys": `level=ERROR msg="no key can log in" error="read revoked keys: .*missing`,
		"--user-ca-keys": `level=WARN msg="no certificate can log in: the file of --user-ca-keys isn't there" file=.*missing`,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stdout, w := io.Pipe()
		var stderr bytes.Buffer
		status := make(chan int, 1)
		go func() {
			status <- run(ctx, []string{"--no-lockdown", "--listen", "127.0.0.1:0", "--state-dir", t.TempDir(), flag, missing}, strings.NewReader(""), w, &stderr)
			w.Close()
		}()
		_, err := stdout.Read(make([]byte, 1)) // the greeting, once all has been looked at
		require.NoError(t, err)
		cancel()
		greeting, err := io.ReadAll(stdout)
		require.NoError(t, err)
		require.Zero(t, <-status)
		require.Regexp(t, says, stderr.String())
		require.Equal(t, flag != "--revoked-keys", strings.Contains(string(greeting), "no key may log in yet"), "%s", greeting)
	}
}

func TestPortInUse(t *testing.T) {
	var stderr bytes.Buffer
	// The same port twice: the second can't be had.
	status := run(t.Context(), []string{"--no-lockdown", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:28713", "--listen", "127.0.0.1:28713"},
		strings.NewReader(""), io.Discard, &stderr)
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr.String(), "--listen 127.0.0.1:28713: the port is in use; name another, or stop the program that has it")
}
