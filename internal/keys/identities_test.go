package keys

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func open(t *testing.T, options Options) *Identities {
	t.Helper()
	i, err := Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Close()) })
	return i
}

func TestOwnKeyIsMadeOnce(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	first := open(t, Options{StateDir: state, Comment: "nas"})
	line, created := first.Own()
	require.True(t, created)
	require.True(t, strings.HasPrefix(line, "ssh-ed25519 "))
	require.True(t, strings.HasSuffix(line, " nas"))

	again := open(t, Options{StateDir: state, Comment: "nas"})
	same, created := again.Own()
	require.False(t, created)
	require.Equal(t, line, same)

	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	require.NoError(t, err)
	shown, err := login(t, again, public)
	require.NoError(t, err)
	require.Equal(t, []string{Fingerprint(public)}, shown)
	require.Equal(t, []string{Fingerprint(public) + " (" + filepath.Join(state, ownKeyName) + ")"}, again.Offered())

	line, _ = open(t, Options{StateDir: state}).Own()
	require.Contains(t, line, " funnel-agent")
}

func TestNamedFileAlone(t *testing.T) {
	private, public := newKey(t)
	other, _ := newKey(t)
	server := startAgent(t, other)
	i := open(t, Options{
		Files: []string{writeKey(t, private, "")}, AgentSocket: server.socket, StateDir: filepath.Join(t.TempDir(), "absent"),
	})
	line, created := i.Own()
	require.Empty(t, line)
	require.False(t, created)
	shown, err := login(t, i, nil)
	require.Error(t, err)
	require.Equal(t, []string{Fingerprint(public)}, shown)
	require.Equal(t, AuthorizedLine(public, ownComment("")), i.Only())
}

func TestNamedRSAKey(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, err := ssh.NewPublicKey(private.Public())
	require.NoError(t, err)
	for _, passphrase := range []string{"", "secret"} {
		i := open(t, Options{Files: []string{writeKey(t, private, passphrase)}, Prompt: &scripted{answers: []string{"secret"}}})
		_, err = login(t, i, public)
		require.NoError(t, err)
	}
	_, err = login(t, open(t, Options{AgentSocket: startAgent(t, private).socket, StateDir: t.TempDir()}), public)
	require.NoError(t, err)
}

func TestOnlyKeyIsUnlockedAtOnce(t *testing.T) {
	private, public := newKey(t)
	path := writeKey(t, private, "secret")
	ask := &scripted{answers: []string{"secret"}}
	i := open(t, Options{Files: []string{path}, Prompt: ask})
	require.Equal(t, 1, ask.asked())
	require.NoError(t, os.Remove(path), "a reconnect reads no file")
	for range 3 {
		_, err := login(t, i, public)
		require.NoError(t, err)
	}
	require.Equal(t, 1, ask.asked())
}

func TestOnlyKeyWithoutTerminalFails(t *testing.T) {
	private, _ := newKey(t)
	path := writeKey(t, private, "secret")
	_, err := Open(t.Context(), Options{Files: []string{path}})
	require.ErrorIs(t, err, ErrNoTerminal)
	require.ErrorContains(t, err, path)
}

func TestOneOfSeveralIsUnlockedWhenWanted(t *testing.T) {
	first, firstPublic := newKey(t)
	second, secondPublic := newKey(t)
	ask := &scripted{answers: []string{"two"}}
	i := open(t, Options{Files: []string{writeKey(t, first, "one"), writeKey(t, second, "two")}, Prompt: ask})
	require.Zero(t, ask.asked())

	shown, err := login(t, i, secondPublic)
	require.NoError(t, err)
	require.Equal(t, []string{Fingerprint(firstPublic), Fingerprint(secondPublic)}, shown[:2])
	require.Equal(t, 1, ask.asked())
	require.Empty(t, i.Only(), "nobody knows which of them is meant")

	shown, err = login(t, i, secondPublic)
	require.NoError(t, err)
	require.Equal(t, Fingerprint(secondPublic), shown[0], "the key that fitted goes first")
	require.Equal(t, 1, ask.asked())
}

func TestLockedKeyFailsOnceAndIsLeftOut(t *testing.T) {
	locked, lockedPublic := newKey(t)
	plain, plainPublic := newKey(t)
	ask := &scripted{}
	i := open(t, Options{Files: []string{writeKey(t, locked, "one"), writeKey(t, plain, "")}, Prompt: ask})
	_, err := login(t, i, lockedPublic)
	require.ErrorIs(t, err, ErrNoTerminal, "the cause passes through the ssh package")
	require.Equal(t, 1, ask.asked())

	_, err = login(t, i, plainPublic)
	require.NoError(t, err)
	_, err = login(t, i, lockedPublic)
	require.Error(t, err)
	require.Equal(t, 1, ask.asked(), "not asked again in a retry loop")
}

func TestEncryptedKeyInAgentNeedsNoPassphrase(t *testing.T) {
	private, public := newKey(t)
	server := startAgent(t, private)
	ask := &scripted{answers: []string{"secret"}}
	i := open(t, Options{Files: []string{writeKey(t, private, "secret")}, AgentSocket: server.socket, Prompt: ask})
	_, err := login(t, i, public)
	require.NoError(t, err)
	require.Zero(t, ask.asked())

	server.stop()
	_, err = login(t, i, public)
	require.NoError(t, err, "the file is still there when the agent has gone")
	require.Equal(t, 1, ask.asked())
}

func TestPublicFileMeansTheAgentsKey(t *testing.T) {
	private, public := newKey(t)
	other, _ := newKey(t)
	path := filepath.Join(t.TempDir(), "id.pub")
	writePublic(t, path, public)

	_, err := Open(t.Context(), Options{Files: []string{path}})
	require.ErrorContains(t, err, "no ssh-agent holds its private key")
	_, err = Open(t.Context(), Options{Files: []string{path}, AgentSocket: startAgent(t, other).socket})
	require.ErrorContains(t, err, path)

	i := open(t, Options{Files: []string{path}, AgentSocket: startAgent(t, other, private).socket})
	shown, err := login(t, i, public)
	require.NoError(t, err)
	require.Equal(t, Fingerprint(public), shown[0])
}

func TestPublicFileBesideThePrivate(t *testing.T) {
	private, public := newKey(t)
	path := writeKey(t, private, "")
	writePublic(t, path+".pub", public)
	_, err := login(t, open(t, Options{Files: []string{path + ".pub"}}), public)
	require.NoError(t, err)

	_, stranger := newKey(t)
	writePublic(t, path+".pub", stranger)
	_, err = Open(t.Context(), Options{Files: []string{path + ".pub"}})
	require.ErrorContains(t, err, "is not the public key of")
}

func TestOldEncryptedForm(t *testing.T) {
	path := writeOldEncrypted(t, "old")
	ask := &scripted{answers: []string{"old"}}
	i := open(t, Options{Files: []string{path}, Prompt: ask})
	require.Equal(t, 1, ask.asked())
	_, err := login(t, i, i.files[0].key.public)
	require.NoError(t, err)

	writePublic(t, path+".pub", i.files[0].key.public)
	private, _ := newKey(t)
	several := open(t, Options{Files: []string{path, writeKey(t, private, "")}, Prompt: ask})
	require.Equal(t, 1, ask.asked(), "the public half beside it makes asking early needless")
	require.Len(t, several.files, 2)
}

func TestUnreadableFormInAgent(t *testing.T) {
	private, public := newKey(t)
	path := writeFile(t, filepath.Join(t.TempDir(), "id_sk"), "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
	writePublic(t, path+".pub", public)
	_, err := Open(t.Context(), Options{Files: []string{path}})
	require.ErrorContains(t, err, "add it to ssh-agent")
	_, err = login(t, open(t, Options{Files: []string{path}, AgentSocket: startAgent(t, private).socket}), public)
	require.NoError(t, err)
}

func TestAgentKeysThenOwn(t *testing.T) {
	var private []crypto.PrivateKey
	var fingerprints []string
	for range maxAgentKeys + 2 {
		key, public := newKey(t)
		private = append(private, key)
		fingerprints = append(fingerprints, Fingerprint(public))
	}
	server := startAgent(t, private...)
	var log bytes.Buffer
	i := open(t, Options{
		AgentSocket: server.socket, StateDir: filepath.Join(t.TempDir(), "state"),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	line, created := i.Own()
	require.True(t, created)
	own, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	require.NoError(t, err)

	shown, err := login(t, i, own)
	require.NoError(t, err)
	require.Equal(t, append(fingerprints[:maxAgentKeys:maxAgentKeys], Fingerprint(own)), shown[:maxAgentKeys+1])
	require.Contains(t, log.String(), "--identity")

	server.stop()
	shown, err = login(t, i, own)
	require.NoError(t, err, "an ssh-agent that has gone costs nothing")
	require.Equal(t, Fingerprint(own), shown[0])
	server.start(t)
	_, err = login(t, i, mustPublic(t, private[0]))
	require.NoError(t, err, "and one that is back is used again")
	_, err = login(t, i, own)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(log.String(), "left out"), "a warning is given once")
}

func mustPublic(t *testing.T, private crypto.PrivateKey) ssh.PublicKey {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	return signer.PublicKey()
}

func TestAgentWithoutStateDir(t *testing.T) {
	private, public := newKey(t)
	i := open(t, Options{AgentSocket: startAgent(t, private).socket})
	line, _ := i.Own()
	require.Empty(t, line)
	_, err := login(t, i, public)
	require.NoError(t, err)

	_, err = Open(t.Context(), Options{})
	require.ErrorContains(t, err, "--identity")
	_, err = Open(t.Context(), Options{AgentSocket: filepath.Join(t.TempDir(), "absent")})
	require.ErrorContains(t, err, "--state-dir")
}

// TestAbsentAgentIsToldOnce, though it is asked at the start and at each login.
func TestAbsentAgentIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	i := open(t, Options{
		AgentSocket: filepath.Join(t.TempDir(), "absent"), StateDir: filepath.Join(t.TempDir(), "state"),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	own := i.own.key.public
	for range 2 {
		_, err := login(t, i, own)
		require.NoError(t, err)
	}
	require.Equal(t, 1, strings.Count(log.String(), "ssh-agent not used"))
}

func TestConfigFiles(t *testing.T) {
	private, public := newKey(t)
	absent := filepath.Join(t.TempDir(), "absent")
	state := filepath.Join(t.TempDir(), "state")
	i := open(t, Options{ConfigFiles: []string{absent, writeKey(t, private, "")}, StateDir: state})
	_, err := login(t, i, public)
	require.NoError(t, err)

	_, created := open(t, Options{ConfigFiles: []string{absent}, StateDir: state}).Own()
	require.True(t, created, "as if nothing had been named")
	_, err = Open(t.Context(), Options{Files: []string{absent}, StateDir: state})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func certify(t *testing.T, public ssh.PublicKey, change func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	authority, _ := newKey(t)
	signer, err := ssh.NewSignerFromKey(authority)
	require.NoError(t, err)
	certificate := &ssh.Certificate{
		Key: public, CertType: ssh.UserCert, ValidPrincipals: []string{"tunnel"}, ValidBefore: ssh.CertTimeInfinity,
	}
	change(certificate)
	require.NoError(t, certificate.SignCert(rand.Reader, signer))
	return certificate
}

func TestCertificateBesideTheKey(t *testing.T) {
	private, public := newKey(t)
	path := writeKey(t, private, "secret")
	certificate := certify(t, public, func(*ssh.Certificate) {})
	writePublic(t, path+"-cert.pub", certificate)

	ask := &scripted{answers: []string{"secret"}}
	i := open(t, Options{Files: []string{path}, Prompt: ask})
	require.Empty(t, i.Only(), "nothing was offered yet")
	shown, err := login(t, i, certificate)
	require.Equal(t, AuthorizedLine(public, ownComment("")), i.Only())
	require.NoError(t, err)
	require.Equal(t, Fingerprint(certificate), shown[0])
	shown, err = login(t, i, public)
	require.NoError(t, err)
	require.Len(t, i.Offered(), 2)
	require.Equal(t, []string{Fingerprint(certificate), Fingerprint(public)}, shown[:2])

	server := startAgent(t, private)
	named := open(t, Options{Files: []string{path + "-cert.pub"}, AgentSocket: server.socket})
	_, err = login(t, named, certificate)
	require.NoError(t, err, "a certificate's file names the key as well")
}

func TestCertificateInAgent(t *testing.T) {
	private, public := newKey(t)
	certificate := certify(t, public, func(*ssh.Certificate) {})
	server := startAgent(t)
	require.NoError(t, server.Add(agent.AddedKey{PrivateKey: private, Certificate: certificate}))
	_, err := login(t, open(t, Options{AgentSocket: server.socket}), certificate)
	require.NoError(t, err)
}

func TestCertificateLeftOut(t *testing.T) {
	private, public := newKey(t)
	_, stranger := newKey(t)
	path := writeKey(t, private, "")
	for name, test := range map[string]struct {
		line ssh.PublicKey
		want string
	}{
		"plain key":   {public, "no user certificate"},
		"host":        {certify(t, public, func(c *ssh.Certificate) { c.CertType = ssh.HostCert }), "no user certificate"},
		"another key": {certify(t, stranger, func(*ssh.Certificate) {}), "certifies another key"},
		"expired":     {certify(t, public, func(c *ssh.Certificate) { c.ValidBefore = 1 }), "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			writePublic(t, path+"-cert.pub", test.line)
			var log bytes.Buffer
			i := open(t, Options{Files: []string{path}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			shown, err := login(t, i, public)
			require.NoError(t, err)
			require.Equal(t, Fingerprint(public), shown[0])
			require.Contains(t, log.String(), test.want)
		})
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	private, public := newKey(t)
	path := writeKey(t, private, "")
	now := time.Now()
	short := certify(t, public, func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Add(time.Hour).Unix()) })
	writePublic(t, path+"-cert.pub", short)
	file := &certificateFile{path: path + "-cert.pub", key: public}
	got, err := file.current(now)
	require.NoError(t, err)
	require.True(t, sameKey(short, got))

	renewed := certify(t, public, func(*ssh.Certificate) {})
	writePublic(t, path+"-cert.pub", renewed)
	got, err = file.current(now)
	require.NoError(t, err)
	require.True(t, sameKey(short, got), "not read again while it holds")
	got, err = file.current(now.Add(2 * time.Hour))
	require.NoError(t, err)
	require.True(t, sameKey(renewed, got))
}

func TestSilentAgentEndsWithClose(t *testing.T) {
	// The agent takes the key at the start, and is then a socket that nobody
	// answers.
	private, public := newKey(t)
	server := startAgent(t, private)
	i := open(t, Options{Files: []string{writeKey(t, private, "secret")}, AgentSocket: server.socket})
	server.stop()
	_ = os.Remove(server.socket)
	silent := startSilent(t, server.socket)
	failed := make(chan error, 1)
	go func() {
		_, err := login(t, i, public)
		failed <- err
	}()
	<-silent
	require.NoError(t, i.Close())
	require.Error(t, <-failed)
}
