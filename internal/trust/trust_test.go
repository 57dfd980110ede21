package trust

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestUnknownWithoutTerminal(t *testing.T) {
	key := newSigner(t)
	path := writeKnown(t)
	noTerminal := errors.New("no terminal")
	for _, options := range []func(*Options){nil, func(o *Options) { o.Prompt = &prompt{err: noTerminal} }} {
		err := handshake(t, newVerifier(t, path, options), relay, key)
		unknown, ok := errors.AsType[*UnknownError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, Offered{relay, "ssh-ed25519", ssh.FingerprintSHA256(key.PublicKey())}, unknown.Offered)
		require.False(t, unknown.Declined)
		require.ErrorContains(t, err, "--host-key "+unknown.Fingerprint)
		require.ErrorContains(t, err, "--accept-new")
		if options != nil {
			require.ErrorIs(t, err, noTerminal)
		}
	}
	require.Empty(t, readText(t, path))
}

func TestUnknownIsAskedOnce(t *testing.T) {
	key := newSigner(t)
	path := filepath.Join(t.TempDir(), "new", "known_hosts")
	ask := &prompt{yes: true}
	v := newVerifier(t, path, func(o *Options) { o.Prompt = ask })
	var links sync.WaitGroup
	outcome := make([]error, 8)
	for n := range outcome {
		links.Go(func() { outcome[n] = decide(t, v, relay, key) })
	}
	links.Wait()
	for _, err := range outcome {
		require.NoError(t, err)
	}
	require.Len(t, ask.questions, 1)
	require.Contains(t, ask.questions[0], ssh.FingerprintSHA256(key.PublicKey()))
	require.Contains(t, ask.questions[0], "ssh-ed25519")
	require.Contains(t, ask.questions[0], relay)
	require.Equal(t, entry("[relay.example.com]:2222", key), readText(t, path))
	if runtime.GOOS != "windows" {
		for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, want, info.Mode().Perm())
		}
	}
	require.NoError(t, handshake(t, newVerifier(t, path, nil), relay, key), "known from now on")
	_, changed := errors.AsType[*ChangedError](handshake(t, v, relay, newSigner(t)))
	require.True(t, changed)
}

func TestDeclinedIsAskedOnce(t *testing.T) {
	key := newSigner(t)
	ask := &prompt{}
	v := newVerifier(t, writeKnown(t), func(o *Options) { o.Prompt = ask })
	for range 3 {
		unknown, ok := errors.AsType[*UnknownError](decide(t, v, relay, key))
		require.True(t, ok)
		require.True(t, unknown.Declined)
		require.ErrorContains(t, unknown, "declined")
	}
	require.Len(t, ask.questions, 1)
	require.Error(t, decide(t, v, relay, newSigner(t)))
	require.Len(t, ask.questions, 2, "another key is another question")
}

func TestAcceptNewKeepsTheFile(t *testing.T) {
	first, second := newSigner(t), newSigner(t)
	before := "# mine\n" + strings.TrimSuffix(entry("first", first), "\n")
	path := writeKnown(t, before)
	v := newVerifier(t, path, func(o *Options) { o.AcceptNew = true })
	require.NoError(t, decide(t, v, "Second:22", second))
	require.NoError(t, decide(t, v, "[2001:DB8::1]:22", second))
	require.NoError(t, decide(t, v, "[2001:db8::1]:2222", second))
	require.Equal(t, before+"\n"+entry("second", second)+entry("2001:db8::1", second), readText(t, path),
		"the key is good for the host's other port too")
	require.NoError(t, decide(t, v, "first:22", first))
}

func TestAcceptedStaysTrustedWithoutAFile(t *testing.T) {
	blocked := filepath.Join(writeKnown(t), "known_hosts") // below a file
	key := newSigner(t)
	for name, files := range map[string][]string{"not writable": {blocked}, "none": {}} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			ask := &prompt{yes: true}
			v := newVerifier(t, "", func(o *Options) { o.Files, o.Prompt, o.Log = files, ask, logInto(&log) })
			for range 3 {
				require.NoError(t, handshake(t, v, relay, key))
			}
			require.Len(t, ask.questions, 1)
			require.Equal(t, 1, strings.Count(log.String(), "this run only"))
			err := handshake(t, v, relay, newSigner(t))
			changed, ok := errors.AsType[*ChangedError](err)
			require.True(t, ok, "%v", err)
			require.ErrorContains(t, changed, "accepted earlier in this run")
		})
	}
}

func TestFilesSpeakBeforeThisRun(t *testing.T) {
	old, renewed := newSigner(t), newSigner(t)
	path := writeKnown(t)
	v := newVerifier(t, path, func(o *Options) { o.AcceptNew = true })
	require.NoError(t, decide(t, v, relay, old))
	require.NoError(t, os.WriteFile(path, []byte(entry("[relay.example.com]:2222", renewed)), 0o600))
	require.NoError(t, decide(t, v, relay, renewed))
	_, changed := errors.AsType[*ChangedError](decide(t, v, relay, old))
	require.True(t, changed)
}

func TestFilesAreReadAtEachLoginOnly(t *testing.T) {
	key := newSigner(t)
	path := writeKnown(t, entry("relay.example.com", key))
	v := newVerifier(t, path, nil)
	connection := v.Callback(t.Context(), relay)
	require.NoError(t, connection(relay, &net.TCPAddr{}, key.PublicKey()))
	require.NoError(t, os.Remove(path))
	require.NoError(t, connection(relay, &net.TCPAddr{}, key.PublicKey()), "a key exchange of the same connection")
	require.Error(t, connection(relay, &net.TCPAddr{}, newSigner(t).PublicKey()))
	require.Error(t, decide(t, v, relay, key), "the next login")
}

func TestBrokenLinesCostThemselves(t *testing.T) {
	key, other := newSigner(t), newSigner(t)
	path := writeKnown(t,
		"garbage\n",
		"host ssh-ed25519 AAAA\n",
		entry("@strange host", key),
		entry("@cert-authority !", key),
		entry("|1|x|y", key),
		"host ssh-future-type AAAAC3NzaC1lZDI1NTE5AAAAIJ\n",
		"\x00\xff\n",
		entry("[relay.example.com]:2222", key),
		strings.TrimSuffix(entry("last", other), "\n")+"\r\n",
	)
	var log bytes.Buffer
	v := newVerifier(t, path, func(o *Options) { o.Log = logInto(&log) })
	require.NoError(t, handshake(t, v, relay, key))
	require.NoError(t, decide(t, v, "last:22", other))
	for _, number := range []string{":1", ":2", ":3", ":4", ":5", ":7"} {
		require.Equal(t, 1, strings.Count(log.String(), "line="+path+number+" "), "line %s\n%s", number, log.String())
	}
	require.Equal(t, 6, strings.Count(log.String(), "level=WARN"))
	require.Equal(t, 1, strings.Count(log.String(), "level=DEBUG"), "a type we do not know is nothing to mend")

	changed, ok := errors.AsType[*ChangedError](decide(t, v, relay, other))
	require.True(t, ok)
	require.Equal(t, 8, changed.Known[0].Line)
}

func TestUnreadableFileCountsAsItWas(t *testing.T) {
	key := newSigner(t)
	path := writeKnown(t, entry("relay.example.com", key))
	var log bytes.Buffer
	v := newVerifier(t, path, func(o *Options) { o.Log = logInto(&log) })
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	for range 2 {
		require.NoError(t, handshake(t, v, relay, key))
	}
	require.Equal(t, 1, strings.Count(log.String(), "not read"))
}

func TestPins(t *testing.T) {
	key, other := newSigner(t), newSigner(t)
	pin := ssh.FingerprintSHA256(key.PublicKey())
	path := writeKnown(t, entry("relay.example.com", other))
	pinned := func(o *Options) {
		o.Pinned, o.AcceptNew = []string{ssh.FingerprintSHA256(newSigner(t).PublicKey()), pin}, true
	}

	v := newVerifier(t, path, pinned)
	require.NoError(t, handshake(t, v, relay, key), "pins alone decide")
	require.NoError(t, decide(t, v, relay, certify(t, other, key, nil)))
	err := handshake(t, v, relay, other)
	mismatch, ok := errors.AsType[*PinError](err)
	require.True(t, ok, "%v", err)
	require.Len(t, mismatch.Pinned, 2)
	require.ErrorContains(t, err, pin)
	require.ErrorContains(t, err, ssh.FingerprintSHA256(other.PublicKey()))
	require.Equal(t, entry("relay.example.com", other), readText(t, path))

	_, err = New(Options{Pinned: []string{" " + pin + "= "}})
	require.NoError(t, err)
	for _, wrong := range []string{"", "SHA256:", strings.TrimPrefix(pin, "SHA256:"), "MD5:aa:bb", pin + "AA", pin[:len(pin)-2], "SHA256:ä"} {
		_, err := New(Options{Pinned: []string{wrong}})
		require.ErrorContains(t, err, "SHA256:", wrong)
	}
}

// waiting is a prompt that says when it asks and waits for the context.
type waiting struct{ asked chan struct{} }

func (w waiting) Confirm(ctx context.Context, _ string) (bool, error) {
	w.asked <- struct{}{}
	<-ctx.Done()
	return false, ctx.Err()
}

func TestQuestionEndsWithTheConnection(t *testing.T) {
	key := newSigner(t)
	ask := waiting{make(chan struct{})}
	v := newVerifier(t, writeKnown(t), func(o *Options) { o.Prompt = ask })
	gone := errors.New("connection closed")
	outcome := make(chan error, 2)
	start := func() context.CancelCauseFunc {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { outcome <- v.Callback(ctx, relay)(relay, &net.TCPAddr{}, key.PublicKey()) }()
		return cancel
	}
	first := start()
	<-ask.asked
	second := start() // waits for its turn
	second(gone)
	require.ErrorIs(t, <-outcome, gone)
	first(gone)
	require.ErrorIs(t, <-outcome, gone)

	third := start()
	<-ask.asked // nothing was decided, so it is asked again
	third(gone)
	require.ErrorIs(t, <-outcome, gone)
}

func TestAFileWrittenWhileTheUserThinks(t *testing.T) {
	key, other := newSigner(t), newSigner(t)
	path := writeKnown(t)
	meanwhile := entry("[relay.example.com]:2222", other)
	v := newVerifier(t, path, func(o *Options) {
		o.Prompt = promptFunc(func() bool {
			require.NoError(t, os.WriteFile(path, []byte(meanwhile), 0o600))
			return true
		})
	})
	_, changed := errors.AsType[*ChangedError](decide(t, v, relay, key))
	require.True(t, changed)
	require.Equal(t, meanwhile, readText(t, path))
}

type promptFunc func() bool

func (f promptFunc) Confirm(context.Context, string) (bool, error) { return f(), nil }

func TestHostsThatNoFileCanHold(t *testing.T) {
	v := newVerifier(t, writeKnown(t), func(o *Options) { o.AcceptNew = true })
	for _, hostport := range []string{"", "host", ":22", "a b:22", "a,b:22", "*:22", "|1|:22", "a\nb:22", "[a]b:22", "a:ssh", "a:65536", "a:-1"} {
		require.Error(t, decide(t, v, hostport, newSigner(t)), hostport)
		require.NotEmpty(t, v.Algorithms(hostport))
	}
	require.Empty(t, readText(t, v.files[0]))
}
