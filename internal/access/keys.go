package access

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ErrUnknownKey says that a key isn't in the authorized keys.
var ErrUnknownKey = errors.New("the key is not authorized")

// Keys are the operator's files that say who may log in: authorized keys, and
// if they are named, certification authorities and what is revoked. They are
// looked at anew at each login, so that a change always counts. For who is logged
// in they count as two looks in a row have found them, see Version: nobody is to
// lose what he has for a file that is just being written. Safe for concurrent use.
type Keys struct {
	policy Policy // static, as all down to the blank line
	log    *slog.Logger

	// A certificate of one of the authorities must name one of these
	// principals; if there are none, the user name of the login.
	principals []string

	authorized  watched[*file]
	authorities watched[*file]
	revoked     watched[*revocations]
	accounts    accounts

	mu       sync.Mutex
	seen     [3]uint64 // guarded by mu, as below; versions of the files
	turn     uint64    // counts changes of any
	counting *rules    // for who is logged in; nil before any do
	steady   steady
}

// file is one version of a file of keys. It never changes.
type file struct {
	keys        map[string][]*entry // by the key in wire form
	authorities map[string][]*entry // keys that sign others', likewise
	count       int
}

// entry is a line that a login may rest on.
type entry struct {
	line    int // from 1
	name    string
	options options
}

// NewKeys returns the authorized keys in the file at path, to which policy
// applies. The file needn't exist. Warnings about its lines go to log, once for
// each version of the file; log may be nil.
func NewKeys(path string, policy Policy, log *slog.Logger) *Keys {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &Keys{policy: policy, log: log}
	k.authorized = watched[*file]{path: path, what: "authorized keys", parse: func(data []byte) (*file, error) {
		return k.parse(data), nil
	}}
	return k
}

// TrustAuthorities lets in who holds a certificate that a key in the file at
// path has signed (sshd's TrustedUserCAKeys). It must name one of principals
// or, if there are none, the user name that is logged in with. To be called
// before the first question.
func (k *Keys) TrustAuthorities(path string, principals []string) {
	k.principals = principals
	k.authorities = watched[*file]{path: path, what: "user CA keys", parse: func(data []byte) (*file, error) {
		return k.parseAs(data, path, true), nil
	}}
}

// Revoke keeps out the keys and certificates in the file at path, which is a
// KRL of ssh-keygen's or has a public key on each line (sshd's RevokedKeys).
// While it can't be read, also because it isn't
// there, nobody is let in. "" is no file. To be called before the first
// question.
func (k *Keys) Revoke(path string) {
	k.revoked = watched[*revocations]{path: path, what: "revoked keys", must: true, parse: parseRevocations}
}

// rules are all files as they are at one time. They never change.
type rules struct {
	authorized, authorities *file
	revoked                 *revocations
	version                 uint64
	err                     error // why they can't be relied on
}

// load reads what has changed.
func (k *Keys) load() *rules {
	r := &rules{}
	var seen [3]uint64
	var problems [3]error
	r.authorized, seen[0], problems[0] = k.authorized.load()
	r.authorities, seen[1], problems[1] = k.authorities.load()
	r.revoked, seen[2], problems[2] = k.revoked.load()
	k.mu.Lock()
	if k.turn == 0 || seen != k.seen {
		k.turn++
		k.seen = seen
	}
	r.version = k.turn
	k.mu.Unlock()
	if r.authorized == nil {
		r.authorized = &file{}
	}
	if r.authorities == nil {
		r.authorities = &file{}
	}
	r.err = errors.Join(problems[:]...)
	return r
}

// Version looks at the files, and counts their changes for who is logged in: while
// it is the same, so is what Lease.Renew says, but for what expires. A change
// counts when two looks in a row have found the same, so that they should be some
// time apart.
func (k *Keys) Version() uint64 {
	r := k.load()
	k.mu.Lock()
	defer k.mu.Unlock()
	var counts uint64
	if k.counting != nil {
		counts = k.counting.version
	}
	if k.steady.look(r.version, counts) {
		k.counting, counts = r, r.version
	}
	return counts
}

// since is the rules for who has been logged in under some: the same, unless later
// ones count by now.
func (k *Keys) since(r *rules) *rules {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.counting != nil && k.counting.version > r.version {
		return k.counting
	}
	return r
}

// Authorize says what a client may do that logs in with a key or certificate,
// under a user name, from a remote address. If several lines have the key, the
// first that admits it counts, as in sshd. The caller makes sure that the
// client has the private key. An error says why nothing is granted, for the
// log: ErrUnknownKey, what the key's line forbids, what is wrong with the
// certificate, or why a file can't be read.
func (k *Keys) Authorize(user string, key ssh.PublicKey, remote netip.Addr, now time.Time) (*Grant, error) {
	return k.decide(k.load(), login{user: user, key: key, remote: remote}, now)
}

// decide is what a login is granted under some rules.
func (k *Keys) decide(r *rules, l login, now time.Time) (*Grant, error) {
	if r.err != nil {
		return nil, r.err
	}
	subject := l.key
	certificate, certified := l.key.(*ssh.Certificate)
	if certified {
		subject = certificate.Key
	}
	fingerprint := ssh.FingerprintSHA256(subject)
	if err := checkStrength(subject); err != nil {
		return nil, fmt.Errorf("key %s: %w", fingerprint, err)
	}
	if reason := r.revoked.find(l.key); reason != "" {
		return nil, fmt.Errorf("key %s is revoked: %s", fingerprint, reason)
	}
	var grant *Grant
	var err error
	if certified {
		grant, err = k.certified(r, l, certificate, now)
	} else {
		grant, err = k.listed(r, l, now)
	}
	if err != nil {
		return nil, err
	}
	grant.Fingerprint = fingerprint
	grant.User = l.user
	grant.login = l
	grant.rules = r
	grant.policy = k.policy
	grant.account = k.accounts.of(fingerprint)
	return grant, nil
}

// listed is what the lines grant that have the key itself.
func (k *Keys) listed(r *rules, l login, now time.Time) (*Grant, error) {
	err := fmt.Errorf("%w: %s", ErrUnknownKey, ssh.FingerprintSHA256(l.key))
	for i, e := range r.authorized.keys[string(l.key.Marshal())] {
		refusal := e.admit(l.remote, now)
		if refusal == nil {
			return e.grant(), nil
		}
		if i == 0 {
			err = fmt.Errorf("key %s of line %d: %w", ssh.FingerprintSHA256(l.key), e.line, refusal)
		}
	}
	return nil, err
}

// grant is what a line grants, whoever logs in.
func (e *entry) grant() *Grant {
	return &Grant{
		Name:            e.name,
		NoTouchRequired: e.options.noTouch,
		Limits:          e.options.limits,
		forwarding:      e.options.forwarding,
		listen:          e.options.listen,
		open:            e.options.open,
		until:           e.options.expiry,
	}
}

// Count is how many lines hold a key that may log in, from somewhere and at
// some time, or that may sign those of others. A file that doesn't exist holds
// none.
func (k *Keys) Count() (int, error) {
	r := k.load()
	if r.err != nil {
		return 0, r.err
	}
	return r.authorized.count + r.authorities.count, nil
}

// admit is nil if the line's options let its key log in.
func (e *entry) admit(remote netip.Addr, now time.Time) error {
	if e.options.from != nil && !e.options.from.contains(remote) {
		return fmt.Errorf("it may not log in from %s", remote)
	}
	if expiry := e.options.expiry; !expiry.IsZero() && now.After(expiry) {
		return fmt.Errorf("it expired at %s", expiry.Format(time.RFC3339))
	}
	return nil
}

// parse understands a version of the authorized keys.
func (k *Keys) parse(data []byte) *file { return k.parseAs(data, k.authorized.path, false) }

// parseAs understands a version of the file at path, and warns of lines it
// skips. In a file of authorities every key is one.
func (k *Keys) parseAs(data []byte, path string, authorities bool) *file {
	f := &file{keys: make(map[string][]*entry), authorities: make(map[string][]*entry)}
	warned := 0
	warn := func(message string, number int, reason any) {
		if warned++; warned <= maxWarnings {
			k.log.Warn(message, "file", path, "line", number, "reason", reason)
		}
	}
	for number, text := range numbered(data) {
		key, e, warnings, err := parseEntry(text)
		if err != nil {
			warn("authorized key skipped", number, err)
			continue
		}
		for _, w := range warnings {
			warn("authorized key does not mean what it seems to", number, w)
		}
		e.line = number
		index := f.keys
		if authorities || e.options.authority {
			index = f.authorities
		}
		index[string(key.Marshal())] = append(index[string(key.Marshal())], e)
		f.count++
	}
	if more := warned - maxWarnings; more > 0 {
		k.log.Warn("authorized keys have more lines to warn of", "file", path, "count", more)
	}
	return f
}

// numbered yields the lines that may hold a key, with their numbers from 1.
func numbered(data []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		number := 0
		for raw := range bytes.Lines(bytes.TrimPrefix(data, []byte("\ufeff"))) {
			number++
			text := trimLine(strings.TrimSuffix(string(raw), "\n"))
			if text != "" && !yield(number, text) {
				return
			}
		}
	}
}

// parseEntry reads a line with a key that may log in, or sign.
func parseEntry(text string) (key ssh.PublicKey, e *entry, warnings []string, err error) {
	l, err := parseLine(text)
	if err != nil {
		return nil, nil, nil, err
	}
	e = &entry{name: cleanName(l.comment)}
	if e.options, warnings, err = parseOptions(l.options); err != nil {
		return nil, nil, nil, err
	}
	if e.options.principals != nil && !e.options.authority {
		return nil, nil, nil, errors.New("option principals is about certificates and wants cert-authority beside it")
	}
	return l.key, e, warnings, nil
}
