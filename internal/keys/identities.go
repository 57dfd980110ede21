package keys

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ownKeyName is the file of the agent's own key in its state directory.
const ownKeyName = "id_ed25519"

// Options say which keys an agent shows to a relay.
type Options struct {
	// Files are the keys the user named; then no others are shown, and one that
	// cannot be used is an error. Each is a private key, or a public key or
	// certificate of which the ssh-agent holds the private key.
	Files []string
	// ConfigFiles take the place of Files when it is empty: those of the user's
	// ssh configuration, where a missing file is usual and skipped.
	ConfigFiles []string
	// StateDir is where the agent's own key is, or is made, when neither list
	// has a usable key.
	StateDir string
	// AgentSocket is where the ssh-agent listens, see [AgentSocket]; empty for none.
	AgentSocket string
	// Prompt asks for passphrases; nil when nobody can be asked.
	Prompt Prompt
	// Comment stands at the end of the own key's line; empty means
	// "funnel-agent@" and the host's name.
	Comment string
	// Log takes warnings about keys that are left out; nil for none.
	Log *slog.Logger
}

// Identities are the keys an agent shows, read once and kept over reconnects.
// Its methods may be called from several goroutines.
type Identities struct {
	// Static after Open.
	ctx    context.Context
	cancel context.CancelFunc
	log    *slog.Logger
	agent  sshAgent
	files  []entry
	own    *entry // nil when files were named
	made   bool
	line   string

	mu      sync.Mutex
	last    string          // blob of the key that signed last
	offered []*offer        // of the last login, for messages
	warned  map[string]bool // warnings that were given already
}

// entry is a key with the certificate that may lie beside it.
type entry struct {
	key         *identity
	certificate *certificateFile
}

// Open finds the keys, makes the agent's own key when it is needed and not
// there, and asks for the passphrase when it is needed in any case, which is
// when the only key is encrypted and not in the ssh-agent. Other passphrases are
// asked for when a relay wants a signature of that key. The context ends with
// Open's result: a question that waits during a login is given up with it.
func Open(ctx context.Context, options Options) (*Identities, error) {
	ctx, cancel := context.WithCancel(ctx)
	i := &Identities{
		ctx: ctx, cancel: cancel,
		log:    options.Log,
		agent:  sshAgent(options.AgentSocket),
		warned: make(map[string]bool),
	}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	if err := i.open(options); err != nil {
		cancel()
		return nil, err
	}
	return i, nil
}

func (i *Identities) open(options Options) error {
	for _, path := range options.Files {
		if err := i.addFile(path, options.Prompt); err != nil {
			return err
		}
	}
	if len(i.files) == 0 {
		i.addConfigFiles(options)
	}
	if len(i.files) == 0 {
		return i.openOwn(options)
	}
	if only := i.files[0].key; len(i.files) == 1 && only.needsPassphrase() {
		return only.unlock()
	}
	return nil
}

func (i *Identities) addConfigFiles(options Options) {
	for _, path := range options.ConfigFiles {
		err := i.addFile(path, options.Prompt)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			i.log.Warn("identity of the ssh configuration left out", "error", err)
		}
	}
}

func (i *Identities) addFile(path string, ask Prompt) error {
	key, err := openIdentity(i.ctx, path, i.agent, ask)
	if err != nil {
		return err
	}
	i.files = append(i.files, newEntry(key))
	return nil
}

func newEntry(key *identity) entry {
	return entry{key, &certificateFile{path: key.path + "-cert.pub", key: key.public}}
}

// openOwn reads or makes the agent's own key. Without it, the keys of an
// ssh-agent still do.
func (i *Identities) openOwn(options Options) error {
	held, agentErr := i.agent.list(i.ctx)
	if agentErr != nil && i.agent != "" {
		i.warnOnce("ssh-agent not used", agentErr) // each login asks it again
	}
	err := i.loadOwn(options)
	if err == nil && len(held) == 0 && i.own.key.needsPassphrase() {
		err = i.own.key.unlock()
	}
	if err != nil && len(held) > 0 && i.ctx.Err() == nil {
		i.log.Warn("the agent's own key not used", "error", err)
		i.own = nil
		return nil
	}
	return err
}

func (i *Identities) loadOwn(options Options) error {
	if options.StateDir == "" {
		return errors.New("no identity: name a key with --identity, add one to ssh-agent, or name a --state-dir for a key of its own")
	}
	path := filepath.Join(options.StateDir, ownKeyName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, i.made, err = LoadOrCreate(path); err != nil {
			return err
		}
	}
	key, err := openIdentity(i.ctx, path, i.agent, options.Prompt)
	if err != nil {
		return err
	}
	own := newEntry(key)
	i.own, i.line = &own, AuthorizedLine(key.public, ownComment(options.Comment))
	return nil
}

func ownComment(wish string) string {
	if wish != "" {
		return wish
	}
	host, err := os.Hostname()
	if err != nil {
		return "funnel-agent"
	}
	return "funnel-agent@" + host
}

// Own is the public line of the agent's own key, for "funnel-relay authorize",
// and whether this run made it. The line is empty when the own key is not in use.
func (i *Identities) Own() (line string, created bool) {
	if i.own == nil {
		return "", false
	}
	return i.line, i.made
}

// Offered names the keys that the last login had to choose from, in their
// order: fingerprint and origin of each. It says what a relay has refused.
func (i *Identities) Offered() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	names := make([]string, len(i.offered))
	for n, o := range i.offered {
		names[n] = o.String()
	}
	return names
}

// Only is the public line of the one key that the last login was offered, with or
// without a certificate; empty if there were several.
func (i *Identities) Only() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.offered) == 0 {
		return ""
	}
	only := plainKey(i.offered[0].PublicKey())
	another := func(o *offer) bool { return !sameKey(plainKey(o.PublicKey()), only) }
	if slices.ContainsFunc(i.offered, another) {
		return ""
	}
	return AuthorizedLine(only, ownComment(""))
}

// AuthMethods are for [ssh.ClientConfig.Auth], of any number of logins.
func (i *Identities) AuthMethods() []ssh.AuthMethod {
	return []ssh.AuthMethod{ssh.PublicKeysCallback(i.signers)}
}

// Close ends questions that wait and makes later signatures in the ssh-agent
// fail. It returns nil.
func (i *Identities) Close() error {
	i.cancel()
	return nil
}

// signers lists the keys for one login. The key that signed last comes first:
// each key before the right one costs one of the few tries a server allows.
func (i *Identities) signers() ([]ssh.Signer, error) {
	list, failed := i.collect()
	if len(list) == 0 {
		if failed == nil {
			failed = errors.New("no identity: neither ssh-agent nor a file has a key")
		}
		return nil, failed
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	slices.SortStableFunc(list, func(a, b *offer) int {
		return i.rank(a) - i.rank(b)
	})
	signers := make([]ssh.Signer, len(list))
	i.offered = list
	for n, o := range list {
		signers[n] = o
	}
	return signers, nil
}

// rank is called with i.mu held.
func (i *Identities) rank(o *offer) int {
	if string(o.PublicKey().Marshal()) == i.last {
		return 0
	}
	return 1
}

// collect lists what can be offered now, and the last reason why something
// cannot.
func (i *Identities) collect() (list []*offer, failed error) {
	entries := i.files
	if len(entries) == 0 {
		list = i.agentKeys()
		if i.own != nil {
			entries = []entry{*i.own}
		}
	}
	for _, e := range entries {
		if err := e.key.failure(); err != nil {
			failed = err
			continue
		}
		list = append(list, i.offersOf(e)...)
	}
	return list, failed
}

// offersOf is the entry's certificate, if it has one, and its key.
func (i *Identities) offersOf(e entry) []*offer {
	plain := i.newOffer(e.key, e.key.path)
	certificate, err := e.certificate.current(time.Now())
	if err != nil {
		i.warnOnce("certificate left out", err)
	}
	if certificate == nil {
		return []*offer{plain}
	}
	certified, err := ssh.NewCertSigner(certificate, e.key)
	if err != nil {
		i.warnOnce("certificate left out", fmt.Errorf("use certificate %s: %w", e.certificate.path, err))
		return []*offer{plain}
	}
	return []*offer{i.newOffer(certified, e.certificate.path), plain}
}

// agentKeys are the first keys of the ssh-agent, without the agent's own.
func (i *Identities) agentKeys() []*offer {
	if i.agent == "" {
		return nil
	}
	held, err := i.agent.list(i.ctx)
	if err != nil {
		i.warnOnce("ssh-agent not used", err)
		return nil
	}
	if i.own != nil {
		held = slices.DeleteFunc(held, func(key ssh.PublicKey) bool { return sameKey(key, i.own.key.public) })
	}
	if len(held) > maxAgentKeys {
		i.warnOnce("keys of ssh-agent left out", fmt.Errorf("it holds %d and a relay allows few tries: "+
			"only the first %d are shown; name the right one with --identity", len(held), maxAgentKeys))
		held = held[:maxAgentKeys]
	}
	var list []*offer
	for _, key := range held {
		list = append(list, i.newOffer(&agentSigner{i.ctx, i.agent, key}, "ssh-agent"))
	}
	return list
}

// warnOnce keeps a reconnecting agent from repeating itself.
func (i *Identities) warnOnce(message string, err error) {
	i.mu.Lock()
	repeated := i.warned[message+err.Error()]
	i.warned[message+err.Error()] = true
	i.mu.Unlock()
	if !repeated {
		i.log.Warn(message, "error", err)
	}
}
