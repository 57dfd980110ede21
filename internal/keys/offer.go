package keys

import (
	"io"

	"golang.org/x/crypto/ssh"
)

// offer is one key of a login.
type offer struct {
	ssh.AlgorithmSigner
	origin string
	signed func(*offer)
}

// newOffer wraps a signer, which has to be an [ssh.AlgorithmSigner] as all of
// this package and those of NewCertSigner over them are.
func (i *Identities) newOffer(signer ssh.Signer, origin string) *offer {
	return &offer{signer.(ssh.AlgorithmSigner), origin, i.remember}
}

func (i *Identities) remember(o *offer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last = string(o.PublicKey().Marshal())
}

func (o *offer) String() string {
	return Fingerprint(plainKey(o.PublicKey())) + " (" + o.origin + ")"
}

// SignWithAlgorithm implements [ssh.AlgorithmSigner].
func (o *offer) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signature, err := o.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	if err == nil {
		o.signed(o)
	}
	return signature, err
}

// plainKey is the key that a certificate certifies, or the key itself.
func plainKey(key ssh.PublicKey) ssh.PublicKey {
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key
	}
	return key
}
