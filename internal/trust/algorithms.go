package trust

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// preference is OpenSSH's order of a host's keys, so that a host which ssh and
// this program meet for the first time shows both the same key. What the
// library supports beyond these follows in its order.
var preference = []string{
	ssh.KeyAlgoED25519,
	ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
	ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256,
}

// Algorithms is the list for [ssh.ClientConfig.HostKeyAlgorithms] when dialling
// the host and port: the types of the keys known for it come first, as the host
// would otherwise be free to show another of its keys, which is not known.
// Certificates are asked for only where an authority is known. It is never empty
// and holds nothing that the library deems insecure (so no "ssh-rsa": an RSA key
// signs with SHA-2, RFC 8332).
func (v *Verifier) Algorithms(hostport string) []string {
	plain, certified := supported()
	at, err := parseHost(hostport)
	if err != nil || len(v.pinned) > 0 {
		return plain
	}
	known := v.known()
	types := make(map[string]bool)
	for _, l := range slices.Concat(known.keys(at.name), known.keys(at.bare)) {
		types[l.key.Type()] = true
	}
	slices.SortStableFunc(plain, func(a, b string) int {
		return rank(types, a) - rank(types, b)
	})
	if len(known.authorities(at)) > 0 {
		return append(certified, plain...)
	}
	return plain
}

func rank(known map[string]bool, algorithm string) int {
	if known[keyType(algorithm)] {
		return 0
	}
	return 1
}

// keyType is the type of the keys that sign with the algorithm.
func keyType(algorithm string) string {
	switch algorithm {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
		return ssh.KeyAlgoRSA
	}
	return algorithm
}

// supported lists the host key algorithms in order of preference, without and
// with certificates.
func supported() (plain, certified []string) {
	all := ssh.SupportedAlgorithms().HostKeys
	for _, algorithm := range preference {
		if slices.Contains(all, algorithm) { // FIPS mode has fewer
			plain = append(plain, algorithm)
		}
	}
	for _, algorithm := range all {
		switch {
		case strings.Contains(algorithm, "-cert-v01@"): // as all are named
			certified = append(certified, algorithm)
		case !slices.Contains(plain, algorithm):
			plain = append(plain, algorithm)
		}
	}
	return plain, certified
}
