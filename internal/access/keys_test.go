package access

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestAuthorize(t *testing.T) {
	f := newTestFile(t, "# players\r\n\r\n"+keyText(testKey(t, 1))+" home server\r\n"+
		" \t"+keyText(testKey(t, 2))+"\n")
	grant, err := f.authorize(1)
	require.NoError(t, err)
	require.Equal(t, "tunnel", grant.User)
	require.Equal(t, "home server", grant.Name)
	require.Equal(t, ssh.FingerprintSHA256(testKey(t, 1)), grant.Fingerprint)
	require.False(t, grant.NoTouchRequired)

	grant, err = f.authorize(2)
	require.NoError(t, err)
	require.Empty(t, grant.Name)

	_, err = f.authorize(3)
	require.ErrorIs(t, err, ErrUnknownKey)
	require.ErrorContains(t, err, ssh.FingerprintSHA256(testKey(t, 3)))
	require.Empty(t, f.warnings())
}

func TestAuthorizeSeesEveryChange(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+"\n")
	before, err := os.Stat(f.path)
	require.NoError(t, err)
	_, err = f.authorize(1)
	require.NoError(t, err)

	// The same file with the same size and the same times, but another key.
	f.write(keyText(testKey(t, 2)) + "\n")
	require.NoError(t, os.Chtimes(f.path, before.ModTime(), before.ModTime()))
	after, err := os.Stat(f.path)
	require.NoError(t, err)
	require.Equal(t, before.Size(), after.Size())
	require.True(t, os.SameFile(before, after))
	_, err = f.authorize(1)
	require.ErrorIs(t, err, ErrUnknownKey)
	_, err = f.authorize(2)
	require.NoError(t, err)

	require.NoError(t, os.Remove(f.path))
	_, err = f.authorize(2)
	require.ErrorIs(t, err, ErrUnknownKey)
	f.write(keyText(testKey(t, 2)) + "\n")
	_, err = f.authorize(2)
	require.NoError(t, err)
}

func TestCount(t *testing.T) {
	f := newTestFile(t, "")
	count := func() int {
		n, err := f.keys.Count()
		require.NoError(t, err)
		return n
	}
	require.Zero(t, count())
	f.write("# none\n" + keyText(testKey(t, 1)) + "\nbroken\n" + keyText(testKey(t, 2)))
	require.Equal(t, 2, count())
	require.NoError(t, os.Remove(f.path))
	require.Zero(t, count(), "no file, no keys")
}

func TestFileThatCannotBeReadIsAnError(t *testing.T) {
	keys := NewKeys(t.TempDir(), Policy{}, nil) // a directory
	_, err := keys.Count()
	require.ErrorContains(t, err, "read authorized keys")
	_, err = keys.Authorize("tunnel", testKey(t, 1), remote, noon)
	require.ErrorContains(t, err, "read authorized keys")
	require.NotErrorIs(t, err, ErrUnknownKey)
}

func TestFileThatIsTooLargeIsAnError(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+"\n"+strings.Repeat("#\n", maxFile/2))
	_, err := f.authorize(1)
	require.ErrorContains(t, err, "larger than")
}

func TestBrokenLinesAreSkippedAndWarnedOfOnce(t *testing.T) {
	key := func(n byte) string { return keyText(testKey(t, n)) }
	f := newTestFile(t, strings.Join([]string{
		key(1) + " first",
		"ssh-ed25519 AAAA",
		"no-such-option " + key(2),
		`principals="a" ` + key(3),
		`from="*.example.com" ` + key(4),
		strings.Repeat("x", maxLine+1),
		"\x00\xff\xfe",
		key(5) + " last",
	}, "\n"))
	for range 3 {
		for _, n := range []byte{1, 5} {
			_, err := f.authorize(n)
			require.NoError(t, err)
		}
		for _, n := range []byte{2, 3} {
			_, err := f.authorize(n)
			require.ErrorIs(t, err, ErrUnknownKey)
		}
		_, err := f.authorize(4)
		require.ErrorContains(t, err, "line 5: it may not log in from 203.0.113.9")
	}
	warnings := f.warnings()
	require.Len(t, warnings, 6)
	for i, want := range []struct {
		line int
		says string
	}{
		{2, "damaged or cut off"},
		{3, "no-such-option"},
		{4, "wants cert-authority beside it"},
		{5, "*.example.com"},
		{6, "longer than 65536 bytes"},
		{7, "there is no key"},
	} {
		require.Contains(t, warnings[i], "level=WARN")
		require.Contains(t, warnings[i], "file="+f.path)
		require.Contains(t, warnings[i], fmt.Sprintf("line=%d ", want.line))
		require.Contains(t, warnings[i], want.says)
	}

	f.write("broken\n" + key(1) + "\n")
	_, err := f.authorize(1)
	require.NoError(t, err)
	require.Len(t, f.warnings(), 1, "another version is warned of again")
}

func TestWarningsAreBounded(t *testing.T) {
	f := newTestFile(t, strings.Repeat("broken\n", 1000)+keyText(testKey(t, 1)))
	_, err := f.authorize(1)
	require.NoError(t, err)
	warnings := f.warnings()
	require.Len(t, warnings, maxWarnings+1)
	require.Contains(t, warnings[maxWarnings], "count=980")
}

func TestFirstLineThatAdmitsCounts(t *testing.T) {
	key := keyText(testKey(t, 1))
	f := newTestFile(t, `from="192.0.2.1" `+key+" office\n"+
		`expiry-time="20200101" `+key+" old\n"+
		key+" home\n"+
		"restrict "+key+" never\n")
	grant, err := f.authorize(1)
	require.NoError(t, err)
	require.Equal(t, "home", grant.Name)
}

func TestNamesAreFitForALog(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+" a\x1b[31m\tb  c\xff"+strings.Repeat("ä", 300)+"\n")
	grant, err := f.authorize(1)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(grant.Name, "a?[31m b c?ää"), grant.Name)
	require.LessOrEqual(t, len(grant.Name), maxName)
}

func TestByteOrderMark(t *testing.T) {
	f := newTestFile(t, "\ufeff"+keyText(testKey(t, 1))+"\r\n")
	_, err := f.authorize(1)
	require.NoError(t, err)
}

func TestKeysConcurrently(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+"\n")
	other := filepath.Join(filepath.Dir(f.path), "other")
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for range 50 {
				if i == 0 {
					_ = os.WriteFile(other, []byte(keyText(testKey(t, 1))+" x\nbroken\n"), 0o600)
					_ = os.Rename(other, f.path)
				}
				if _, err := f.authorize(1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
