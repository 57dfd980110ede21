package trust

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestAlgorithms(t *testing.T) {
	rsaKey, ecdsaKey, authority := newRSA(t), newECDSA(t), newSigner(t)
	path := writeKnown(t,
		entry("rsa", rsaKey), entry("[rsa]:2222", ecdsaKey), entry("*.example.com", ecdsaKey),
		entry("@cert-authority *.example.com", authority), entry("@revoked *", newSigner(t)))
	v := newVerifier(t, path, nil)
	for hostport, want := range map[string][]string{
		"unknown:22":           {ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
		"rsa:22":               {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoED25519},
		"rsa:2222":             {ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoED25519},
		"relay.example.com:22": {ssh.CertAlgoRSASHA256v01},
	} {
		got := v.Algorithms(hostport)
		require.Equal(t, want, got[:len(want)], hostport)
		require.NotContains(t, got, ssh.KeyAlgoRSA)
		require.Equal(t, hostport == "relay.example.com:22", slices.Contains(got, ssh.CertAlgoED25519v01))
		unique := slices.Compact(slices.Sorted(slices.Values(got)))
		require.Len(t, got, len(unique))
		require.Subset(t, ssh.SupportedAlgorithms().HostKeys, got)
	}
	all := v.Algorithms("relay.example.com:22")
	require.Len(t, all, len(ssh.SupportedAlgorithms().HostKeys))
	require.Less(t, slices.Index(all, ssh.CertAlgoED25519v01), slices.Index(all, ssh.KeyAlgoECDSA256))
	require.Less(t, slices.Index(all, ssh.KeyAlgoECDSA256), slices.Index(all, ssh.KeyAlgoED25519), "the known key goes first")
}

func TestTheKnownOneOfSeveralKeysIsAskedFor(t *testing.T) {
	host := []ssh.Signer{newSigner(t), newECDSA(t), newRSA(t)}
	for _, known := range host {
		v := newVerifier(t, writeKnown(t, entry("relay.example.com", known)), nil)
		require.NoError(t, handshake(t, v, relay, host...))
	}
	path := writeKnown(t)
	v := newVerifier(t, path, func(o *Options) { o.AcceptNew = true })
	require.NoError(t, handshake(t, v, relay, host...))
	require.Equal(t, entry("[relay.example.com]:2222", host[0]), readText(t, path), "as ssh would choose")
}
