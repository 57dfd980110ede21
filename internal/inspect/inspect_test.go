package inspect

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortDir is a directory whose path leaves room for a socket's name, also where
// temporary directories lie deep.
func shortDir(t *testing.T) string {
	directory, err := os.MkdirTemp("", "i")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(directory) })
	return directory
}

func open(t *testing.T, directory string, state any) *Door {
	door, err := Open(directory, func() any { return state })
	require.NoError(t, err)
	return door
}

func TestDoorTellsWhoeverAsks(t *testing.T) {
	directory := filepath.Join(shortDir(t), "state")
	door := open(t, directory, map[string]int{"conns": 3})
	defer door.Close()
	for range 3 {
		answers, err := Ask(t.Context(), directory)
		require.NoError(t, err)
		require.Len(t, answers, 1)
		require.JSONEq(t, `{"conns": 3}`, string(answers[0]))
	}
	if runtime.GOOS != "windows" {
		info, err := os.Stat(door.path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

func TestClosedDoorLeavesNothing(t *testing.T) {
	directory := shortDir(t)
	open(t, directory, 1).Close()
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	require.Empty(t, entries)
	answers, err := Ask(t.Context(), directory)
	require.NoError(t, err)
	require.Empty(t, answers)
}

// TestProgramsOfOneNumber: containers that share a state directory each have
// their process 1.
func TestProgramsOfOneNumber(t *testing.T) {
	directory := shortDir(t)
	first, second := open(t, directory, 1), open(t, directory, 2)
	defer first.Close()
	defer second.Close()
	answers, err := Ask(t.Context(), directory)
	require.NoError(t, err)
	var all []int
	for _, answer := range answers {
		var n int
		require.NoError(t, json.Unmarshal(answer, &n))
		all = append(all, n)
	}
	require.ElementsMatch(t, []int{1, 2}, all)
}

// leave leaves the socket of a program that died.
func leave(t *testing.T, directory, name string) string {
	path := filepath.Join(directory, name)
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	listener.SetUnlinkOnClose(false)
	require.NoError(t, listener.Close())
	return path
}

func TestSocketsOfTheDeadAreRemoved(t *testing.T) {
	directory := shortDir(t)
	stale := leave(t, directory, "agent-1.sock")
	other := filepath.Join(directory, "agent-notes.sock") // a file, and somebody's
	require.NoError(t, os.WriteFile(other, []byte("mine"), 0o600))
	answers, err := Ask(t.Context(), directory)
	require.NoError(t, err)
	require.Empty(t, answers)
	require.NoFileExists(t, stale)
	require.FileExists(t, other)

	stale = leave(t, directory, "agent-2.sock")
	open(t, directory, 1).Close()
	require.NoFileExists(t, stale)
}

func TestDoorThatCantBeMade(t *testing.T) {
	deep := filepath.Join(shortDir(t), strings.Repeat("long", 40))
	_, err := Open(deep, nil)
	require.Error(t, err)
	entries, err := os.ReadDir(deep)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing half-made stays")

	file := filepath.Join(shortDir(t), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Open(file, nil)
	require.Error(t, err)
	_, err = Open("", nil)
	require.Error(t, err)
	answers, err := Ask(t.Context(), file)
	require.NoError(t, err)
	require.Empty(t, answers)
}

// TestDoorDoesNotWaitForWhoDoesNotRead: closing it doesn't either.
func TestDoorDoesNotWaitForWhoDoesNotRead(t *testing.T) {
	directory := shortDir(t)
	door := open(t, directory, strings.Repeat("much ", 1<<20))
	conn, err := net.Dial("unix", door.path)
	require.NoError(t, err)
	defer conn.Close()
	door.Close()
}
