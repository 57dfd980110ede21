package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/checkup"
)

// TestPage is written over one of before that was longer, and to what can't be cut.
func TestPage(t *testing.T) {
	before := filepath.Join(t.TempDir(), "page.html")
	require.NoError(t, os.WriteFile(before, []byte(strings.Repeat("before", 10_000)), 0o600))
	for _, path := range []string{before, os.DevNull, filepath.Join(t.TempDir(), "new.html")} {
		p, err := openPage(path)
		require.NoError(t, err)
		require.NoError(t, p.write(&checkup.Result{}), path)
		p.close()
		require.FileExists(t, path)
	}
	text, err := os.ReadFile(before)
	require.NoError(t, err)
	require.NotContains(t, string(text), "before")
	require.Contains(t, string(text), "</html>")
}
