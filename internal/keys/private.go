package keys

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/ssh"
)

// errNotAsked is why a key stays locked where nobody can ever be asked.
var errNotAsked = errors.New("its passphrase is not asked for here")

// PassphraseError says that a private key stayed locked. A retry cannot mend
// it: without a terminal it wraps [ErrNoTerminal].
type PassphraseError struct {
	// Path is the file of the private key.
	Path string
	// Err is why its passphrase is not known.
	Err error
}

func (e *PassphraseError) Error() string {
	if errors.Is(e.Err, errNotAsked) {
		return fmt.Sprintf("private key %s is encrypted, and nobody can be asked for its passphrase at each start: "+
			"take it away with \"ssh-keygen -p -N '' -f %s\"", e.Path, e.Path)
	}
	if errors.Is(e.Err, ErrNoTerminal) {
		return fmt.Sprintf("private key %s is encrypted and there is no terminal to ask for its passphrase: "+
			"add it to ssh-agent with \"ssh-add %s\", or start once from a terminal", e.Path, e.Path)
	}
	return fmt.Sprintf("unlock private key %s: %v", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *PassphraseError) Unwrap() error { return e.Err }

// Load reads a private key in OpenSSH's or PEM form. An encrypted key asks for
// its passphrase; ask may be nil where nobody can be asked, and the result is
// then a [*PassphraseError]. On Unix, a key of ours that others may read is
// refused, as ssh does.
func Load(ctx context.Context, path string, ask Prompt) (ssh.Signer, error) {
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	signer, err := parsePrivate(path, text)
	if _, locked := errors.AsType[*ssh.PassphraseMissingError](err); locked {
		if ask == nil {
			return nil, &PassphraseError{Path: path, Err: errNotAsked}
		}
		return decrypt(ctx, path, text, ask)
	}
	return signer, err
}

// readPrivate returns the text of a private key after a look at who else may
// read it, through one open file so that both speak of the same file.
func readPrivate(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	if err := checkPermissions(path, info); err != nil {
		if _, public := readPublic(path); public { // which may be open to all
			return nil, publicError(path)
		}
		return nil, err
	}
	return readBounded(file, path)
}

// readBounded reads a key file up to maxKeyFile bytes.
func readBounded(file io.Reader, path string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", path, err)
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("read key %s: more than %d bytes are no key", path, maxKeyFile)
	}
	return text, nil
}

func parsePrivate(path string, text []byte) (ssh.Signer, error) {
	if bytes.HasPrefix(text, []byte("PuTTY-User-Key-File")) {
		return nil, fmt.Errorf("read private key %s: it is in PuTTY's format: "+
			"convert it with \"puttygen %s -O private-openssh -o NEWFILE\"", path, path)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err == nil {
		return signer, nil
	}
	if _, _, _, _, wrong := ssh.ParseAuthorizedKey(text); wrong == nil {
		return nil, publicError(path)
	}
	return nil, fmt.Errorf("read private key %s: %w", path, err)
}

func publicError(path string) error {
	return fmt.Errorf("read private key %s: it holds a public key: name the private key's file, most often the same without .pub", path)
}

// decrypt asks for the passphrase of an encrypted key until it fits.
func decrypt(ctx context.Context, path string, text []byte, ask Prompt) (ssh.Signer, error) {
	if ask == nil {
		return nil, &PassphraseError{Path: path, Err: ErrNoTerminal}
	}
	question := fmt.Sprintf("Passphrase for %s: ", path)
	for range maxPassphraseTries {
		secret, err := ask.Secret(ctx, question)
		if err != nil {
			return nil, &PassphraseError{Path: path, Err: err}
		}
		signer, err := ssh.ParsePrivateKeyWithPassphrase(text, secret)
		clear(secret)
		if err == nil {
			return signer, nil
		}
		if !errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("read private key %s: %w", path, err)
		}
		question = fmt.Sprintf("That is not it. Passphrase for %s: ", path)
	}
	return nil, &PassphraseError{Path: path, Err: fmt.Errorf("wrong passphrase, %d times", maxPassphraseTries)}
}
