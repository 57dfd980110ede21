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
			status <- run(ctx, []string{"--no-lockdown", "--listen", "127.0.0.1:0", "--state-dir", directory}, strings.NewReader(""), w, &stderr)
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
		require.Regexp(t, `\n\n  funnel-agent --host-key SHA256:\S+ --tcp 25565 127\.0\.0\.1:\d+\n\n`, greetings[i])
		require.Contains(t, greetings[i], `run "funnel-relay authorize --state-dir `+directory+` 'KEY'"`)
		require.Contains(t, greetings[i], filepath.Join(directory, "authorized_keys"))
	}
	hostKey := func(s string) string { return strings.Split(s, "\n")[1] }
	require.Equal(t, hostKey(greetings[0]), hostKey(greetings[1]), "the key is made once")
}

func TestPortInUse(t *testing.T) {
	var stderr bytes.Buffer
	// The same port twice: the second can't be had.
	status := run(t.Context(), []string{"--no-lockdown", "--state-dir", t.TempDir(), "--listen", "127.0.0.1:28713", "--listen", "127.0.0.1:28713"},
		strings.NewReader(""), io.Discard, &stderr)
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr.String(), "--listen 127.0.0.1:28713: the port is in use; name another, or stop the program that has it")
}
