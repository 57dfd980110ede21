package access

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"funnel/internal/forward"
)

func mustPermits(t testing.TB, texts ...string) []Permit {
	t.Helper()
	var permits []Permit
	for _, text := range texts {
		permit, err := ParsePermit(text)
		require.NoError(t, err)
		permits = append(permits, permit)
	}
	return permits
}

func readText(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

// onlyFile says that nothing was left beside the file at path.
func onlyFile(t testing.TB, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, filepath.Base(path), entries[0].Name())
}

func TestAppendMakesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "funnel", "authorized_keys")
	line, added, err := Append(path, testKey(t, 1), "home server", mustPermits(t, "25565", "80,443,27015-27020/udp", "[::1]:8080/tcp"))
	require.NoError(t, err)
	require.True(t, added)
	require.Equal(t, `restrict,port-forwarding,permitlisten="25565",permitlisten="80/udp",permitlisten="443/udp",`+
		`permitlisten="27015-27020/udp",permitlisten="[::1]:8080/tcp" `+keyText(testKey(t, 1))+" home server", line)
	require.Equal(t, line+"\n", readText(t, path))
	onlyFile(t, path)
}

func TestAppendLeavesOtherLinesAlone(t *testing.T) {
	for _, before := range []string{
		"",
		"# comment\n\n",
		"broken \x00\xff line\r\n" + keyText(testKey(t, 2)) + " other\r\n",
		keyText(testKey(t, 2)), // no newline at its end
		"\n\n\n",
		strings.Repeat("x", 2*maxLine) + "\n",
	} {
		f := newTestFile(t, before)
		line, added, err := Append(f.path, testKey(t, 1), "", nil)
		require.NoError(t, err)
		require.True(t, added)
		require.Equal(t, "restrict,port-forwarding "+keyText(testKey(t, 1)), line)
		if before != "" && !strings.HasSuffix(before, "\n") {
			before += "\n"
		}
		require.Equal(t, before+line+"\n", readText(t, f.path))
		_, err = f.authorize(1)
		require.NoError(t, err)
		onlyFile(t, f.path)
	}
}

func TestAppendRefusesAKeyThatIsThere(t *testing.T) {
	key := keyText(testKey(t, 1))
	for _, test := range []struct{ content, found, says string }{
		{"# first\n" + key + " home\n", key + " home", "in line 2 of %s: --replace writes that line anew, keys revoke takes it out"},
		{"\n\n" + `permitlisten="80" ` + key, `permitlisten="80" ` + key, "in line 3 of %s: --replace"},
		{"oops " + key + "\n", "oops " + key, `in line 1 of %s: but that line is skipped, because option "oops" is not known`},
		{"cert-authority " + key + "\n", "cert-authority " + key, "in line 1 of %s: --replace"},
	} {
		f := newTestFile(t, test.content)
		line, added, err := Append(f.path, testKey(t, 1), "again", nil)
		require.ErrorIs(t, err, ErrAlreadyAuthorized)
		says := test.says
		if strings.Contains(says, "%s") {
			says = fmt.Sprintf(says, f.path)
		}
		require.ErrorContains(t, err, says)
		require.False(t, added)
		require.Equal(t, test.found, line)
		require.Equal(t, test.content, readText(t, f.path))
		onlyFile(t, f.path)
	}
}

func TestAppendRefusesWhatWouldNotBeRead(t *testing.T) {
	f := newTestFile(t, "")
	var many forward.Ports
	for port := uint16(1); port < 20000; port += 2 {
		many = append(many, forward.PortRange{First: port, Last: port})
	}
	_, added, err := Append(f.path, testKey(t, 1), "", []Permit{{Host: "*", Ports: many}})
	require.ErrorIs(t, err, errLineLong)
	require.False(t, added)

	_, added, err = Append(f.path, testKey(t, 1), "", []Permit{{Host: "a\"\nb", Ports: many[:1]}})
	require.Error(t, err)
	require.False(t, added)
	require.Empty(t, readText(t, f.path))
	onlyFile(t, f.path)
}

func TestAppendRefusesAFileThatIsFull(t *testing.T) {
	content := strings.Repeat("#\n", maxFile/2)
	f := newTestFile(t, content)
	_, added, err := Append(f.path, testKey(t, 1), "", nil)
	require.ErrorContains(t, err, "larger than")
	require.False(t, added)
	require.Equal(t, len(content), len(readText(t, f.path)))
	onlyFile(t, f.path)
}

func TestAppendRefusesADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "authorized_keys")
	require.NoError(t, os.Mkdir(path, 0o700))
	_, added, err := Append(path, testKey(t, 1), "", nil)
	require.Error(t, err)
	require.False(t, added)
	onlyFile(t, path)
}

func TestAppendNamesALockThatWasLeft(t *testing.T) {
	f := newTestFile(t, "# mine\n")
	require.NoError(t, os.WriteFile(f.path+".lock", nil, 0o600))
	synctest.Test(t, func(t *testing.T) { // it waits for the lock
		_, added, err := Append(f.path, testKey(t, 1), "", nil)
		require.ErrorContains(t, err, f.path+".lock")
		require.ErrorContains(t, err, "remove it")
		require.False(t, added)
	})
	require.Equal(t, "# mine\n", readText(t, f.path))
	require.FileExists(t, f.path+".lock", "it isn't ours to remove")
}

func TestAppendConcurrently(t *testing.T) {
	f := newTestFile(t, "# mine")
	const writers = 16
	var group sync.WaitGroup
	for i := range writers {
		key := testKey(t, byte(i))
		group.Go(func() {
			// Where it takes long to write to a disk, not all have their turn within
			// lockWait.
			_, _, err := Append(f.path, key, "", nil)
			for begun := time.Now(); err != nil && strings.Contains(err.Error(), "another program is at work") && time.Since(begun) < time.Minute; {
				_, _, err = Append(f.path, key, "", nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	n, err := f.keys.Count()
	require.NoError(t, err)
	require.Equal(t, writers, n)
	require.True(t, strings.HasPrefix(readText(t, f.path), "# mine\n"))
	onlyFile(t, f.path)
}

// What Append writes, Authorize grants: exactly the ports permitted, on each
// network and address.
func TestAppendedKeysAreGranted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	randomPermit := func() Permit {
		first := 1 + random.IntN(60)
		text := fmt.Sprintf("%s%d-%d%s", pick("", "*:", "localhost:", "[::1]:", "127.0.0.*:", "0.0.0.0:", ":"),
			first, first+random.IntN(5), pick("", "/tcp", "/udp"))
		return mustPermits(t, text)[0]
	}
	f := newTestFile(t, "# keys\r\nbroken")
	f.keys.policy = mustPolicy(t, "*")
	for number := range byte(40) {
		var permits []Permit
		for range random.IntN(4) {
			permits = append(permits, randomPermit())
		}
		comment := pick("", "home", " two  words ", "line\nbreak", "# hash", `"quote" \`, "ünï", "\x1b[0m", strings.Repeat("long ", 100))
		_, added, err := Append(f.path, testKey(t, number), comment, permits)
		require.NoError(t, err)
		require.True(t, added)
		grant, err := f.authorize(number)
		require.NoError(t, err)
		require.Equal(t, cleanName(comment), grant.Name)
		require.Error(t, grant.MayDial("localhost", 80))
		for _, network := range []string{"tcp", "udp"} {
			for _, host := range []string{"", "localhost", "::1", "127.0.0.1", "0.0.0.0", "192.0.2.1"} {
				for port := uint16(1); port < 70; port++ {
					want := len(permits) == 0
					for _, permit := range permits {
						want = want || permit.ports(network, host).Contains(port)
					}
					_, err := grant.Bind(network, host, port, func(string, uint16) (uint16, error) { return port, nil })
					require.Equal(t, want, err == nil, "%v: %s %q %d: %v", permits, network, host, port, err)
				}
			}
		}
	}
}
