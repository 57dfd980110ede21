package access

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// sshKeygen runs the stock tool in a directory of the test.
type sshKeygen struct {
	t         testing.TB
	directory string
}

func newSSHKeygen(t testing.TB) *sshKeygen {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("FUNNEL_REQUIRE_ALL") == "1" {
			require.NoError(t, err)
		}
		t.Skip("SKIPPED: ssh-keygen is not installed")
	}
	return &sshKeygen{t: t, directory: t.TempDir()}
}

func (k *sshKeygen) run(arguments ...string) (string, error) {
	command := exec.Command("ssh-keygen", arguments...)
	command.Dir = k.directory
	out, err := command.CombinedOutput()
	return string(out), err
}

func (k *sshKeygen) must(arguments ...string) {
	k.t.Helper()
	out, err := k.run(arguments...)
	require.NoError(k.t, err, "%s", out)
}

func (k *sshKeygen) path(name string) string { return filepath.Join(k.directory, name) }

func (k *sshKeygen) public(name string) ssh.PublicKey {
	k.t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(readText(k.t, k.path(name))))
	require.NoError(k.t, err)
	return key
}

// What ssh-keygen puts into a KRL is revoked, and nothing else: its own verdict
// (ssh-keygen -Q) is compared with ours for each of many certificates and keys.
func TestKRLsOfSSHKeygen(t *testing.T) {
	k := newSSHKeygen(t)
	for _, name := range []string{"ca1", "ca2", "user1", "user2", "user3"} {
		k.must("-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
	}
	var subjects []string // files
	for i, serial := range []uint64{0, 1, 5, 6, 7, 99, 100, 163, 164, 1 << 40, 1<<64 - 1} {
		for _, ca := range []string{"ca1", "ca2"} {
			name := fmt.Sprintf("%s-%d", ca, i)
			require.NoError(t, os.WriteFile(k.path(name+".pub"), []byte(readText(t, k.path("user1.pub"))), 0o600))
			k.must("-q", "-s", ca, "-I", fmt.Sprintf("id %d", i), "-z", fmt.Sprint(serial), "-n", "u", name+".pub")
			subjects = append(subjects, name+"-cert.pub")
		}
	}
	subjects = append(subjects, "user1.pub", "user2.pub", "user3.pub", "ca1.pub")
	random := rand.New(rand.NewPCG(3, 4))
	lines := []func() string{
		func() string { return fmt.Sprintf("serial: %d", 1+random.IntN(200)) },
		func() string {
			first := 1 + random.IntN(200)
			return fmt.Sprintf("serial: %d-%d", first, first+random.IntN(90))
		},
		func() string { return "serial: 18446744073709551615" },
		func() string { return fmt.Sprintf("id: id %d", random.IntN(11)) },
		func() string { return "key: " + strings.TrimSpace(readText(t, k.path("user2.pub"))) },
		func() string { return "sha1: " + strings.TrimSpace(readText(t, k.path("user3.pub"))) },
		func() string { return "sha256: " + strings.TrimSpace(readText(t, k.path("ca1.pub"))) },
		func() string { return "hash: " + ssh.FingerprintSHA256(k.public("user1.pub")) },
	}
	verdicts := make(map[bool]int)
	for round := range 12 {
		var spec []string
		for range 1 + random.IntN(4) {
			spec = append(spec, lines[random.IntN(len(lines))]())
		}
		require.NoError(t, os.WriteFile(k.path("spec"), []byte(strings.Join(spec, "\n")+"\n"), 0o600))
		ca := "ca1.pub"
		if round%3 == 0 {
			ca = "none" // serials and ids of every authority
		}
		k.must("-q", "-k", "-f", "krl", "-s", ca, "spec")
		r, err := parseRevocations([]byte(readText(t, k.path("krl"))))
		require.NoError(t, err, spec)
		for _, subject := range subjects {
			out, err := k.run("-Q", "-f", "krl", subject)
			revoked := err != nil
			require.Equal(t, revoked, strings.Contains(out, "REVOKED"), out)
			require.Equal(t, revoked, r.find(k.public(subject)) != "", "%v: %s: %s", spec, subject, out)
			verdicts[revoked]++
		}
	}
	require.Greater(t, verdicts[true], 20)
	require.Greater(t, verdicts[false], 20)
}

// krlString is a string of RFC 4251 §5.
func krlString(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

// krlOf is a KRL with sections as given.
func krlOf(sections ...string) string {
	return krlMagic + "\x00\x00\x00\x01" + strings.Repeat("\x00", 24) + krlString("") + krlString("a comment") + strings.Join(sections, "")
}

func TestKRLsThatAreRefused(t *testing.T) {
	certificates := func(inner string) string {
		return "\x01" + krlString(krlString("")+krlString("")+inner)
	}
	good := krlOf(certificates("\x20" + krlString("\x00\x00\x00\x00\x00\x00\x00\x07")))
	r, err := parseRevocations([]byte(good))
	require.NoError(t, err)
	require.Contains(t, r.find(newAuthority(t).certify(t, nil)), "serial number 7 is revoked")
	for end := len(krlMagic); end < len(good); end++ {
		_, err := parseRevocations([]byte(good[:end]))
		if end == len(krlOf()) {
			require.NoError(t, err, "an empty KRL")
			continue
		}
		require.Error(t, err, "cut at %d", end)
	}
	for name, test := range map[string]struct{ data, says string }{
		"version":            {krlMagic + "\x00\x00\x00\x02" + strings.Repeat("\x00", 32), "of version 2"},
		"section":            {krlOf("\x09" + krlString("")), "unknown kind, 9"},
		"signature":          {krlOf("\x04" + krlString("")), "is signed"},
		"subsection":         {krlOf(certificates("\x55" + krlString(""))), "unknown way, 85"},
		"hash":               {krlOf("\x05" + krlString(krlString("short"))), "hash of 5 bytes"},
		"key":                {krlOf("\x02" + krlString(krlString("short"))), "not understood"},
		"critical extension": {krlOf("\xff" + krlString(krlString("x@y")+"\x01"+krlString(""))), `demands the extension "x@y"`},
		"negative bitmap":    {krlOf(certificates("\x22" + krlString("\x00\x00\x00\x00\x00\x00\x00\x07"+krlString("\x80")))), "too long or negative"},
		"tail":               {krlOf(certificates("\x21" + krlString(strings.Repeat("\x00", 17)))), "behind its end"},
	} {
		_, err := parseRevocations([]byte(test.data))
		require.ErrorContains(t, err, test.says, name)
	}
	_, err = parseRevocations([]byte(krlOf("\xff" + krlString(krlString("x@y")+"\x00"+krlString("")))))
	require.NoError(t, err, "an extension that may be skipped")
}

func FuzzRevocations(f *testing.F) {
	f.Add([]byte(krlOf()))
	f.Add([]byte(krlOf("\x01" + krlString(krlString("")+krlString("")+
		"\x20"+krlString("\x00\x00\x00\x00\x00\x00\x00\x07")+"\x21"+krlString(strings.Repeat("\x01", 16))+
		"\x22"+krlString("\x00\x00\x00\x00\x00\x00\x00\x01"+krlString("\x7f"))+"\x23"+krlString(krlString("id"))))))
	f.Add([]byte(krlOf("\x02"+krlString(krlString(string(testKey(f, 1).Marshal()))), "\x05"+krlString(krlString(strings.Repeat("x", 32))))))
	f.Add([]byte("# x\n" + keyText(testKey(f, 1)) + " name\n"))
	c := newAuthority(f).certify(f, nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRevocations(data)
		if err != nil {
			require.Nil(t, r)
			return
		}
		_ = r.find(c)
		_ = r.find(testKey(t, 1))
	})
}
