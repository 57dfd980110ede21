// Package trust decides whether a relay's host key may be trusted: by pinned
// fingerprints, by known_hosts files, or by the user's word. Start with [New]
// and give [Verifier.Callback] and [Verifier.Algorithms] to the SSH client.
package trust

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

// Prompt asks the user. It returns the context's cause when that ends first,
// and an error when nobody can be asked.
type Prompt interface {
	Confirm(ctx context.Context, question string) (bool, error)
}

// Options say whom to trust.
type Options struct {
	// Files are known_hosts files; new keys are written to the first. Nil means
	// the user's, ~/.ssh/known_hosts and known_hosts2.
	Files []string
	// SystemFiles are read as well and never written. Nil means those in
	// /etc/ssh, on Windows in %ProgramData%\ssh; empty means none.
	SystemFiles []string
	// AcceptNew takes the key of an unknown host without a question. A changed
	// key is refused all the same.
	AcceptNew bool
	// Pinned are fingerprints, "SHA256:" and base64. Given any, they alone decide.
	Pinned []string
	// Prompt asks about unknown hosts; nil when nobody can be asked.
	Prompt Prompt
	// Log takes warnings about files and notes about accepted keys; nil for none.
	Log *slog.Logger
}

// Verifier decides on host keys. Its methods may be called from several
// goroutines; the files are read anew at each login.
type Verifier struct {
	// Static after New.
	files     []string // the first of them is written
	all       []string // files and the system's
	acceptNew bool
	pinned    []string
	prompt    Prompt
	log       *slog.Logger

	// turn holds one token: whoever took it may ask the user and accept keys.
	turn chan struct{}

	mu       sync.Mutex
	read     map[string][]*line // the last good reading of each file
	accepted map[string]*line   // by host: taken in this run, for files that cannot be written
	declined map[string]bool    // by host and fingerprint
	warned   map[string]bool
}

// New reads the files once, so that what is wrong with them is told at the
// start. Only a malformed fingerprint is an error: a file or line that cannot be
// read is a warning.
func New(options Options) (*Verifier, error) {
	pins, err := parsePins(options.Pinned)
	if err != nil {
		return nil, err
	}
	v := &Verifier{
		files:     options.Files,
		acceptNew: options.AcceptNew,
		pinned:    pins,
		prompt:    options.Prompt,
		log:       options.Log,
		turn:      make(chan struct{}, 1),
		read:      make(map[string][]*line),
		accepted:  make(map[string]*line),
		declined:  make(map[string]bool),
		warned:    make(map[string]bool),
	}
	v.turn <- struct{}{}
	if v.log == nil {
		v.log = slog.New(slog.DiscardHandler)
	}
	if v.files == nil {
		v.files = userFiles()
	}
	system := options.SystemFiles
	if system == nil {
		system = systemFiles()
	}
	v.all = append(append(v.all, v.files...), system...)
	if len(pins) == 0 {
		v.known()
	}
	return v, nil
}

// Callback is for [ssh.ClientConfig.HostKeyCallback] of one connection to the
// host and port, as the user named them. It may wait for the user: ctx, which is
// to end with the connection, ends the question. Its errors reach the caller of
// [ssh.NewClientConn] wrapped and are found with [errors.As].
//
// The library calls it again at every key exchange of a connection. A key that
// was trusted at the first is trusted until the connection ends, whatever
// becomes of the files.
func (v *Verifier) Callback(ctx context.Context, hostport string) ssh.HostKeyCallback {
	var mu sync.Mutex
	var trusted ssh.PublicKey
	return func(_ string, _ net.Addr, key ssh.PublicKey) error {
		mu.Lock()
		defer mu.Unlock()
		if trusted != nil && sameKey(trusted, key) {
			return nil
		}
		if err := v.check(ctx, hostport, key); err != nil {
			return err
		}
		trusted = key
		return nil
	}
}

func (v *Verifier) check(ctx context.Context, hostport string, key ssh.PublicKey) error {
	plain, _ := split(key)
	offered := Offered{Host: hostport, Type: plain.Type(), Fingerprint: ssh.FingerprintSHA256(plain)}
	if len(v.pinned) > 0 {
		return checkPins(v.pinned, offered)
	}
	at, err := parseHost(hostport)
	if err != nil {
		return err
	}
	decide := func() error { return v.known().check(at, offered, key) }
	if err := decide(); !isUnknown(err) {
		return err
	}
	select {
	case <-v.turn:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { v.turn <- struct{}{} }()
	// Another connection may have asked while this one waited, and the files may
	// change while the user thinks.
	if err := decide(); !isUnknown(err) {
		return err
	}
	if err := v.ask(ctx, at, offered); err != nil {
		return err
	}
	if err := decide(); !isUnknown(err) {
		return err
	}
	v.accept(at, plain)
	return nil
}

func isUnknown(err error) bool {
	_, is := err.(*UnknownError)
	return is
}

// ask returns nil when the key of an unknown host is to be trusted.
func (v *Verifier) ask(ctx context.Context, at host, offered Offered) error {
	if v.acceptNew {
		return nil
	}
	refusal := &UnknownError{Offered: offered}
	if v.prompt == nil {
		return refusal
	}
	subject := at.name + " " + offered.Fingerprint
	v.mu.Lock()
	refusal.Declined = v.declined[subject]
	v.mu.Unlock()
	if refusal.Declined {
		return refusal
	}
	yes, err := v.prompt.Confirm(ctx, question(offered))
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		refusal.Err = err
		return refusal
	case !yes:
		v.mu.Lock()
		v.declined[subject] = true
		v.mu.Unlock()
		refusal.Declined = true
		return refusal
	}
	return nil
}

func question(offered Offered) string {
	return fmt.Sprintf("The host %s is not known yet. Its %s key has the fingerprint\n  %s\n"+
		"Compare it with the one the relay printed. Trust it from now on (yes/no)? ",
		offered.Host, offered.Type, offered.Fingerprint)
}

// accept writes the key to the first file and, whether or not that works, trusts
// it for the rest of the run.
func (v *Verifier) accept(at host, key ssh.PublicKey) {
	v.mu.Lock()
	v.accepted[at.name] = &line{hosts: patternList{{text: at.name}}, key: key}
	v.mu.Unlock()
	fingerprint := ssh.FingerprintSHA256(key)
	if len(v.files) == 0 {
		v.log.Warn("host key accepted for this run only: no known_hosts file is named",
			"host", at.name, "fingerprint", fingerprint)
		return
	}
	if err := appendLine(v.files[0], formatLine(at, key)); err != nil {
		v.log.Warn("host key accepted for this run only: the known_hosts file cannot be written",
			"host", at.name, "fingerprint", fingerprint, "error", err)
		return
	}
	v.log.Info("host key accepted", "host", at.name, "fingerprint", fingerprint, "file", v.files[0])
}

// known reads the files again. A file that cannot be read counts as it was. Keys
// accepted in this run speak only where the files are silent.
func (v *Verifier) known() database {
	v.mu.Lock()
	defer v.mu.Unlock()
	var all database
	for _, path := range v.all {
		lines, problems, err := readFile(path)
		if err != nil {
			v.warnOnce(slog.LevelWarn, path+err.Error(), "known_hosts file not read", "error", err)
		} else {
			v.read[path] = lines
		}
		v.report(problems)
		all = append(all, v.read[path]...)
	}
	var unwritten []*line
	for name, l := range v.accepted {
		if len(all.keys(name)) == 0 {
			unwritten = append(unwritten, l)
		}
	}
	return append(all, unwritten...)
}
