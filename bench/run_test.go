package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/bench/lab"
)

// TestEachSystemHasANameOfItsOwn: the samples of two would be taken together.
func TestEachSystemHasANameOfItsOwn(t *testing.T) {
	tunnel := func(name string) string {
		path := filepath.Join(t.TempDir(), "tunnel.yaml")
		require.NoError(t, os.WriteFile(path, []byte("name: "+name+"\ntcp: true\nserver: [s]\nclient: [c]\n"), 0o600))
		return path
	}
	program := filepath.Join(t.TempDir(), "program")
	require.NoError(t, os.WriteFile(program, nil, 0o600))
	for _, test := range []struct {
		variants, tunnels []string
		want              string
	}{
		{[]string{"three=--copies 3", "four=--copies 4"}, []string{tunnel("mine")}, ""},
		{[]string{"three=--copies 3", "three=--lanes 3"}, nil, `--variant "three=--lanes 3": there is a system "funnel-three" already`},
		{[]string{"copies-1=--copies 2"}, nil, `there is a system "funnel-copies-1" already`},
		{nil, []string{tunnel("mine"), tunnel("mine")}, `there is a system "mine" already`},
		{nil, []string{tunnel("direct")}, `there is a system "direct" already`},
		{[]string{"nothing"}, nil, `--variant "nothing": want NAME=FLAGS`},
	} {
		c := &runCommand{
			Profile: "shooter", Rounds: lab.DefaultRounds, Duration: lab.DefaultDuration, Relay: program, Agent: program,
			Systems: []string{"direct"}, Variant: test.variants, Tunnel: test.tunnels,
		}
		_, err := c.options()
		if test.want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, test.want)
		}
	}
}
