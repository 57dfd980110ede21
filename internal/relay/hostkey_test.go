package relay

import (
	"crypto/rand"
	"crypto/rsa"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// TestNoSHA1WithRSA: a host key of RSA signs with SHA-2 alone.
func TestNoSHA1WithRSA(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	hostKey, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	s := startRelay(t, func(c *Config) { c.HostKeys = append(c.HostKeys, hostKey) })
	for algorithm, want := range map[string]bool{ssh.KeyAlgoRSA: false, ssh.KeyAlgoRSASHA256: true, ssh.KeyAlgoRSASHA512: true} {
		config := s.clientConfig(s.key)
		config.HostKeyAlgorithms = []string{algorithm}
		config.HostKeyCallback = ssh.FixedHostKey(hostKey.PublicKey())
		client, err := ssh.Dial("tcp", s.address, config)
		if want {
			require.NoError(t, err, algorithm)
			require.NoError(t, client.Close())
			continue
		}
		require.ErrorContains(t, err, "no common algorithm for host key", algorithm)
	}
}
