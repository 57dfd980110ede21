package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// ErrUnknownKey says that a key isn't in the authorized keys.
var ErrUnknownKey = errors.New("the key is not authorized")

// Keys is the authorized keys file. It is read anew at each question, so that
// a change always counts; what it said is kept only to be compared with. Safe
// for concurrent use.
type Keys struct {
	path   string // static, like policy and log
	policy Policy
	log    *slog.Logger

	mu    sync.Mutex
	last  *file // guarded by mu; nil if there is none to compare with
	loose bool  // guarded by mu; others than its owner may write to the file
}

// file is one version of the file. It never changes.
type file struct {
	data  []byte
	keys  map[string][]*entry // by the key in wire form
	count int
}

// entry is a line that a login may rest on.
type entry struct {
	line    int // from 1
	name    string
	options options
}

// NewKeys returns the keys in the file at path, to which policy applies. The
// file needn't exist. Warnings about its lines go to log, once for each version
// of the file; log may be nil.
func NewKeys(path string, policy Policy, log *slog.Logger) *Keys {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Keys{path: path, policy: policy, log: log}
}

// Authorize says what a client may do that logs in with a key, under a user
// name, from a remote address. If several lines have the key, the first that
// admits it counts, as in sshd. The caller makes sure that the client has the
// private key. An error says why nothing is granted, for the log: ErrUnknownKey,
// what the key's line forbids, or why the file can't be read.
func (k *Keys) Authorize(user string, key ssh.PublicKey, remote netip.Addr, now time.Time) (*Grant, error) {
	f, err := k.load()
	if err != nil {
		return nil, err
	}
	fingerprint := ssh.FingerprintSHA256(key)
	err = fmt.Errorf("%w: %s", ErrUnknownKey, fingerprint)
	for i, e := range f.keys[string(key.Marshal())] {
		refusal := e.admit(remote, now)
		if refusal == nil {
			return &Grant{
				User:            user,
				Name:            e.name,
				Fingerprint:     fingerprint,
				NoTouchRequired: e.options.noTouch,
				forwarding:      e.options.forwarding,
				listen:          e.options.listen,
				open:            e.options.open,
				policy:          k.policy,
			}, nil
		}
		if i == 0 {
			err = fmt.Errorf("key %s of line %d: %w", fingerprint, e.line, refusal)
		}
	}
	return nil, err
}

// Count is how many lines of the file hold a key that may log in, from
// somewhere and at some time. A file that doesn't exist holds none.
func (k *Keys) Count() (int, error) {
	f, err := k.load()
	if err != nil {
		return 0, err
	}
	return f.count, nil
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

// load reads the file, and understands it anew if it has changed.
func (k *Keys) load() (*file, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	data, info, err := readFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		k.last = nil
		return &file{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read authorized keys: %w", err)
	}
	loose := isLoose(info)
	if loose && !k.loose {
		k.log.Warn("authorized keys can be changed by others than their owner: take write permission from group and others",
			"file", k.path, "mode", info.Mode().String())
	}
	k.loose = loose
	if k.last == nil || !bytes.Equal(k.last.data, data) {
		k.last = k.parse(data)
	}
	return k.last, nil
}

// parse understands a version of the file, and warns of lines it skips.
func (k *Keys) parse(data []byte) *file {
	f := &file{data: data, keys: make(map[string][]*entry)}
	warned := 0
	warn := func(message string, number int, reason any) {
		if warned++; warned <= maxWarnings {
			k.log.Warn(message, "file", k.path, "line", number, "reason", reason)
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
		f.keys[string(key.Marshal())] = append(f.keys[string(key.Marshal())], e)
		f.count++
	}
	if more := warned - maxWarnings; more > 0 {
		k.log.Warn("authorized keys have more lines to warn of", "file", k.path, "count", more)
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

// parseEntry reads a line with a key that may log in.
func parseEntry(text string) (key ssh.PublicKey, e *entry, warnings []string, err error) {
	l, err := parseLine(text)
	if err != nil {
		return nil, nil, nil, err
	}
	e = &entry{name: cleanName(l.comment)}
	if e.options, warnings, err = parseOptions(l.options); err != nil {
		return nil, nil, nil, err
	}
	if e.options.authority {
		return nil, nil, nil, errors.New("cert-authority is not supported yet: authorize each key itself")
	}
	return l.key, e, warnings, nil
}

// readFile reads the file as a whole, if it isn't larger than maxFile.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, nil, err
	}
	if len(data) > maxFile {
		return nil, nil, fmt.Errorf("file %s is larger than %d bytes", path, maxFile)
	}
	return data, info, nil
}

// isLoose says whether others than the owner may write to a file. The mode
// says nothing about it on Windows.
func isLoose(info fs.FileInfo) bool {
	return runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&0o022 != 0
}
