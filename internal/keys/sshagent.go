package keys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// windowsAgentPipe is where the ssh-agent service of Windows listens.
const windowsAgentPipe = `\\.\pipe\openssh-ssh-agent`

// AgentSocket is where the user's ssh-agent listens: $SSH_AUTH_SOCK, on Windows
// otherwise the pipe of its ssh-agent service. It is empty when there is none
// to expect.
func AgentSocket() string {
	if socket := os.Getenv("SSH_AUTH_SOCK"); socket != "" || runtime.GOOS != "windows" {
		return socket
	}
	return windowsAgentPipe
}

// sshAgent is the ssh-agent at a socket; empty means none. Each question has a
// connection of its own, as with ssh, so that an agent may go and come back.
type sshAgent string

// errNoAgent says that no ssh-agent is configured.
var errNoAgent = errors.New("there is no ssh-agent ($SSH_AUTH_SOCK is not set)")

// list returns the public keys the agent holds, certificates among them; keys
// of a type unknown here are left out.
func (a sshAgent) list(ctx context.Context) ([]ssh.PublicKey, error) {
	var found []ssh.PublicKey
	err := a.call(ctx, agentListTimeout, func(client agent.ExtendedAgent) error {
		listed, err := client.List()
		if err != nil {
			return err
		}
		for _, entry := range listed {
			if key, err := ssh.ParsePublicKey(entry.Blob); err == nil {
				found = append(found, key)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the keys of ssh-agent: %w", err)
	}
	return found, nil
}

// sign has the agent sign data; algorithm is one of key's, see RFC 8332 for RSA.
func (a sshAgent) sign(ctx context.Context, key ssh.PublicKey, data []byte, algorithm string) (*ssh.Signature, error) {
	var flags agent.SignatureFlags
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = agent.SignatureFlagRsaSha256
	case ssh.KeyAlgoRSASHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	var signature *ssh.Signature
	err := a.call(ctx, agentSignTimeout, func(client agent.ExtendedAgent) (err error) {
		signature, err = client.SignWithFlags(key, data, flags)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign with ssh-agent's key %s: %w", Fingerprint(key), err)
	}
	return signature, nil
}

func (a sshAgent) call(ctx context.Context, limit time.Duration, ask func(agent.ExtendedAgent) error) error {
	if a == "" {
		return errNoAgent
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := dialAgent(ctx, string(a))
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()

	// Without a Close method the client starts no goroutine of its own.
	err = ask(agent.NewClient(struct{ io.ReadWriter }{conn}))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// agentSigner signs with a key that only the ssh-agent holds.
type agentSigner struct {
	ctx    context.Context // of the Identities: ends with their Close
	agent  sshAgent
	public ssh.PublicKey
}

var _ ssh.AlgorithmSigner = (*agentSigner)(nil)

func (s *agentSigner) PublicKey() ssh.PublicKey { return s.public }

func (s *agentSigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(rand, data, "")
}

func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	return s.agent.sign(s.ctx, s.public, data, algorithm)
}
