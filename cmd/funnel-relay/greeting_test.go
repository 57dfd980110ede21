package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"funnel/internal/access"
)

// TestExamplePort: what is shown as an example isn't refused.
func TestExamplePort(t *testing.T) {
	for allowed, want := range map[string]uint16{
		"1024-65535": 25565, "443": 25565, "41200": 41200, "443,41200-41300": 41200, "2000-3000,25000-25999": 25565,
	} {
		policy, err := access.ParsePolicy([]string{allowed}, nil)
		require.NoError(t, err)
		require.Equal(t, want, examplePort(policy.Ports), allowed)
	}
}
