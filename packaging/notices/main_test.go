package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllThatIsShippedIsNamed(t *testing.T) {
	t.Chdir(filepath.Join("..", ".."))
	var out bytes.Buffer
	require.NoError(t, run(&out))
	text := out.String()
	for _, want := range []string{
		"======== Go, its standard library and runtime go1.", "Copyright 2009 The Go Authors",
		"======== golang.org/x/crypto v", "======== github.com/xtaci/smux v", "Permission is hereby granted",
		"======== github.com/coreos/go-systemd/v22 v", // in one program, on one system
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "stretchr/testify", "tests are not shipped")
}

func TestWhatHasNoLicenseIsNotShipped(t *testing.T) {
	directory := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(directory, "LICENSES"), 0o700))
	err := library{"example.com/a", "v1.0.0", directory}.write(new(bytes.Buffer))
	require.EqualError(t, err, "example.com/a v1.0.0 has no license")
}
