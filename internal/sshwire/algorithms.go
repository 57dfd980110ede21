package sshwire

import (
	"runtime"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// ClientConfig is what an agent of the given version logs in with; who it is
// and whom it trusts is the caller's to add.
func ClientConfig(version string) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		Config:        algorithms(hasAES()),
		ClientVersion: AgentVersion(version),
	}
}

// ServerConfig is what a relay of the given version serves with; host keys and
// who may log in is the caller's to add.
func ServerConfig(version string) *ssh.ServerConfig {
	return &ssh.ServerConfig{
		Config: algorithms(hasAES()),
		// x/crypto/ssh would take SHA-1 with RSA and DSA by default.
		PublicKeyAuthAlgorithms: ssh.SupportedAlgorithms().PublicKeyAuths,
		MaxAuthTries:            authTries,
		ServerVersion:           RelayVersion(version),
	}
}

// HostKey is a host key that signs without SHA-1, which x/crypto/ssh would still
// offer for RSA keys. Other keys are returned as they are.
func HostKey(key ssh.Signer) (ssh.Signer, error) {
	signer, ok := key.(ssh.AlgorithmSigner)
	if !ok || key.PublicKey().Type() != ssh.KeyAlgoRSA {
		return key, nil
	}
	return ssh.NewSignerWithAlgorithms(signer, []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512})
}

// algorithms are our preferences. Of what both ends have, the client's first
// choice is taken (RFC 4253 §7.1), so the order matters at the agent.
//
// AES-GCM encrypts two to three times as fast as ChaCha20-Poly1305 where the
// processor has instructions for it, and several times slower, and with timing
// that depends on the key, where it hasn't. The others are for clients without
// either, such as older builds of Dropbear.
func algorithms(aes bool) ssh.Config {
	ciphers := []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherChaCha20Poly1305}
	if !aes {
		slices.Reverse(ciphers)
	}
	return ssh.Config{
		RekeyThreshold: rekeyThreshold,
		KeyExchanges: []string{
			ssh.KeyExchangeMLKEM768X25519,
			ssh.KeyExchangeCurve25519,
			ssh.KeyExchangeECDHP256,
		},
		Ciphers: append(ciphers, ssh.CipherAES128CTR, ssh.CipherAES256CTR),
		MACs:    []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256},
	}
}

// hasAES says whether the processor has instructions for AES and for the
// multiplication in GCM, which is what Go's AES-GCM wants to be fast.
func hasAES() bool {
	switch runtime.GOARCH {
	case "amd64", "386":
		return cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ
	case "arm64":
		// Every arm64 processor of Apple's has them.
		return cpu.ARM64.HasAES && cpu.ARM64.HasPMULL || runtime.GOOS == "darwin"
	case "s390x":
		return cpu.S390X.HasAES && cpu.S390X.HasAESGCM
	case "ppc64le":
		return true // since POWER8, the oldest that Go runs on
	}
	return false
}
