package sshwire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestAlgorithms(t *testing.T) {
	with, without := algorithms(true), algorithms(false)
	require.Equal(t, ssh.CipherAES128GCM, with.Ciphers[0])
	require.Equal(t, ssh.CipherChaCha20Poly1305, without.Ciphers[0])
	require.ElementsMatch(t, with.Ciphers, without.Ciphers)

	supported := ssh.SupportedAlgorithms()
	for _, config := range []ssh.Config{with, without} {
		require.Subset(t, supported.Ciphers, config.Ciphers)
		require.Subset(t, supported.KeyExchanges, config.KeyExchanges)
		require.Subset(t, supported.MACs, config.MACs)
		require.Equal(t, ssh.KeyExchangeMLKEM768X25519, config.KeyExchanges[0])
		require.Equal(t, uint64(64<<30), config.RekeyThreshold)
	}
	server := ServerConfig("1.0")
	require.NotContains(t, server.PublicKeyAuthAlgorithms, ssh.KeyAlgoRSA)
	require.NotEmpty(t, server.PublicKeyAuthAlgorithms)
}

func TestVersionStrings(t *testing.T) {
	for version, want := range map[string]string{
		"":           "unknown",
		"1.2.3":      "1.2.3",
		"v0.1.0-rc1": "v0.1.0.rc1",
		"(devel)":    "(devel)",
		"a b\r\nc":   "a.b..c",
		"ü":          ".",
	} {
		require.Equal(t, "SSH-2.0-funnel_relay_"+want, RelayVersion(version))
		require.Equal(t, "SSH-2.0-funnel_agent_"+want, AgentVersion(version))
	}
	require.Less(t, len(RelayVersion(strings.Repeat("x", 1000))), 250)

	require.True(t, IsAgent([]byte(AgentVersion("1"))))
	require.True(t, IsRelay([]byte(RelayVersion("1"))))
	require.False(t, IsAgent([]byte(RelayVersion("1"))))
	require.False(t, IsRelay([]byte("SSH-2.0-OpenSSH_9.2")))
	require.Equal(t, AgentVersion("1"), ClientConfig("1").ClientVersion)
	require.Equal(t, RelayVersion("1"), ServerConfig("1").ServerVersion)
}
