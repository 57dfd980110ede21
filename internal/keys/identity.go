package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"
)

// identity is a key that a file names. It is an [ssh.AlgorithmSigner] that
// signs in the ssh-agent while the key is locked here, and asks for the
// passphrase only when a signature needs it.
type identity struct {
	// Static after openIdentity.
	ctx    context.Context // of the Identities: ends with their Close
	path   string          // of the private key, also when only the agent has it
	public ssh.PublicKey
	locked []byte // the encrypted private key, or nil
	agent  sshAgent
	held   bool // by the ssh-agent
	ask    Prompt

	mu     sync.Mutex
	signer ssh.Signer // nil while locked
	failed error      // why it cannot be unlocked; asked once, then never again
}

var _ ssh.AlgorithmSigner = (*identity)(nil)

// openIdentity reads what path names: a private key, or a public key or
// certificate whose private half the ssh-agent holds.
func openIdentity(ctx context.Context, path string, socket sshAgent, ask Prompt) (*identity, error) {
	id := &identity{ctx: ctx, path: path, agent: socket, ask: ask}
	if public, ok := readPublic(path); ok {
		id.path, id.public = privatePath(path), public
		return id, id.openPublic(path)
	}
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	return id, id.openPrivate(text)
}

// openPublic completes an identity of which only the public key was named.
func (id *identity) openPublic(named string) error {
	id.held = id.inAgent()
	if id.held {
		return nil
	}
	text, err := readPrivate(id.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || id.path == named {
		return fmt.Errorf("identity %s is a public key and no ssh-agent holds its private key: "+
			"add it with ssh-add, or name the private key's file", named)
	}
	public := id.public
	if err := id.openPrivate(text); err != nil {
		return err
	}
	if !sameKey(public, id.public) {
		return fmt.Errorf("identity %s is not the public key of %s beside it", named, id.path)
	}
	return nil
}

// openPrivate takes in a private key, and leaves it locked when it is encrypted.
func (id *identity) openPrivate(text []byte) error {
	signer, err := parsePrivate(id.path, text)
	if err == nil {
		id.signer, id.public = signer, signer.PublicKey()
		return nil
	}
	beside, hasPublic := readPublic(id.path + ".pub")
	missing, encrypted := errors.AsType[*ssh.PassphraseMissingError](err)
	switch {
	case encrypted && missing.PublicKey != nil:
		id.public, id.locked = missing.PublicKey, text
	case encrypted && hasPublic:
		id.public, id.locked = beside, text
	case encrypted:
		// The old PEM form shows nothing of an encrypted key: to offer it, it
		// has to be unlocked.
		id.locked = text
		return id.unlock()
	case hasPublic:
		// A form we cannot read, such as that of a security key's handle, does
		// not matter when the agent can sign with it.
		id.public = beside
		if id.held = id.inAgent(); !id.held {
			return fmt.Errorf("%w; add it to ssh-agent to have it used", err)
		}
		return nil
	default:
		return err
	}
	id.held = id.inAgent()
	return nil
}

// inAgent asks the ssh-agent whether it holds the key.
func (id *identity) inAgent() bool {
	held, err := id.agent.list(id.ctx)
	if err != nil {
		return false
	}
	for _, key := range held {
		if sameKey(key, id.public) {
			return true
		}
	}
	return false
}

// unlock decrypts the private key, asking at most once in the life of id: later
// calls return the first one's outcome. An ended context is no outcome.
func (id *identity) unlock() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	if id.signer != nil || id.failed != nil {
		return id.failed
	}
	signer, err := decrypt(id.ctx, id.path, id.locked, id.ask)
	if err == nil && id.public != nil && !sameKey(signer.PublicKey(), id.public) {
		err = fmt.Errorf("identity %s.pub is not the public key of %s", id.path, id.path)
	}
	if err != nil {
		if id.ctx.Err() == nil {
			id.failed = err
		}
		return err
	}
	id.signer = signer
	if id.public == nil { // only while opening: nobody else looks yet
		id.public = signer.PublicKey()
	}
	return nil
}

// needsPassphrase tells whether the next signature has to ask.
func (id *identity) needsPassphrase() bool {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.signer == nil && !id.held && id.locked != nil
}

// failure is why the identity cannot sign any more, or nil.
func (id *identity) failure() error {
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.failed
}

// PublicKey implements [ssh.Signer].
func (id *identity) PublicKey() ssh.PublicKey { return id.public }

// Sign implements [ssh.Signer].
func (id *identity) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return id.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements [ssh.AlgorithmSigner].
func (id *identity) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	id.mu.Lock()
	signer := id.signer
	id.mu.Unlock()
	if signer == nil {
		// The agent may have been given the key since the start.
		signature, err := id.agent.sign(id.ctx, id.public, data, algorithm)
		if err == nil || id.locked == nil {
			return signature, err
		}
		if err := id.unlock(); err != nil {
			return nil, err
		}
		signer = id.signer // does not change once it is set
	}
	if algorithmSigner, ok := signer.(ssh.AlgorithmSigner); ok {
		return algorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	}
	return signer.Sign(rand, data)
}

// readPublic reads a public key or certificate in the form of a .pub file; of a
// certificate it is the key. It takes only a file that holds nothing else.
func readPublic(path string) (ssh.PublicKey, bool) {
	key, err := readPublicLine(path)
	if err != nil {
		return nil, false
	}
	if certificate, ok := key.(*ssh.Certificate); ok {
		return certificate.Key, true
	}
	return key, true
}

func readPublicLine(path string) (ssh.PublicKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := readBounded(file, path)
	if err != nil {
		return nil, err
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return nil, err
	}
	if len(options) > 0 {
		return nil, errors.New("a public key file has no options")
	}
	return key, nil
}

// privatePath is the file of the private key beside a public key or certificate.
func privatePath(public string) string {
	for _, ending := range []string{"-cert.pub", ".pub"} {
		if private, ok := strings.CutSuffix(public, ending); ok {
			return private
		}
	}
	return public
}

func sameKey(a, b ssh.PublicKey) bool {
	return string(a.Marshal()) == string(b.Marshal())
}
