package access

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestReplaceWritesOneLineAnew(t *testing.T) {
	before := "\ufeff# mine\r\n" +
		`from="192.0.2.0/24",permitlisten="80" ` + keyText(testKey(t, 1)) + " home\r\n" +
		"oops " + keyText(testKey(t, 2)) + "\n" +
		"# the last\n" +
		keyText(testKey(t, 3)) + " friend"
	f := newTestFile(t, before)
	was, err := Replace(f.path, testKey(t, 1), "home", mustPermits(t, "25565"))
	require.NoError(t, err)
	require.Equal(t, Listed{
		Line: 2, Fingerprint: ssh.FingerprintSHA256(testKey(t, 1)), Kind: "ssh-ed25519",
		Name: "home", Options: `from="192.0.2.0/24",permitlisten="80"`,
	}, was)
	_, err = Replace(f.path, testKey(t, 2), "", nil)
	require.NoError(t, err, "also a line that is skipped")
	_, err = Replace(f.path, testKey(t, 3), "another", mustPermits(t, "1024/udp"))
	require.NoError(t, err)
	require.Equal(t, "\ufeff# mine\r\n"+
		`restrict,port-forwarding,permitlisten="25565" `+keyText(testKey(t, 1))+" home\r\n"+
		"restrict,port-forwarding "+keyText(testKey(t, 2))+"\n"+
		"# the last\n"+
		`restrict,port-forwarding,permitlisten="1024/udp" `+keyText(testKey(t, 3))+" another", readText(t, f.path))
	onlyFile(t, f.path)

	was, err = Replace(f.path, testKey(t, 4), "new", nil)
	require.NoError(t, err)
	require.Zero(t, was)
	_, err = f.authorize(4)
	require.NoError(t, err, "a key that isn't there is added")
}

func TestReplaceRefusesWhatIsNotItsOwn(t *testing.T) {
	key := keyText(testKey(t, 1))
	for content, says := range map[string]string{
		key + "\n# x\n" + key + " again\n":               "line 1 is not the only one about the key",
		"# x\n" + `cert-authority,principals="a" ` + key: "line 2 is about those whom the key certifies (cert-authority)",
	} {
		f := newTestFile(t, content)
		_, err := Replace(f.path, testKey(t, 1), "", nil)
		require.ErrorContains(t, err, says)
		require.Equal(t, content, readText(t, f.path))
		onlyFile(t, f.path)
	}
}

func TestLookup(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1))+" home\n"+
		"oops "+keyText(testKey(t, 2))+" friend  of mine\n"+
		keyText(testKey(t, 3))+" home\n"+keyText(testKey(t, 2))+"\n")
	key, comment, err := Lookup(f.path, "friend of mine")
	require.NoError(t, err)
	require.Equal(t, testKey(t, 2), key)
	require.Equal(t, "friend  of mine", comment)
	key, comment, err = Lookup(f.path, ssh.FingerprintSHA256(testKey(t, 3)))
	require.NoError(t, err)
	require.Equal(t, testKey(t, 3), key)
	require.Equal(t, "home", comment)
	_, _, err = Lookup(f.path, "home")
	require.ErrorContains(t, err, `several keys are named "home": name one by its fingerprint`)
	for _, nobody := range []string{"", "nobody"} {
		_, _, err = Lookup(f.path, nobody)
		require.ErrorIs(t, err, ErrNotListed)
	}
	_, _, err = Lookup(f.path+".missing", "home")
	require.ErrorIs(t, err, ErrNotListed)
}
