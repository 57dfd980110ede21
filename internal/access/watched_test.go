package access

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// gaps are what a look may find of a file while it is being written or replaced.
var gaps = map[string]func(f *testFile){
	"empty": func(f *testFile) { f.write("") },
	"half":  func(f *testFile) { f.write("# the beginning\n") },
	"away":  func(f *testFile) { require.NoError(f.t, os.Remove(f.path)) },
}

// Who is logged in loses nothing by a file that is being written or replaced, and
// all by one that stays that way.
func TestLeaseOutlivesAFileThatIsBeingWritten(t *testing.T) {
	for name, breaks := range gaps {
		t.Run(name, func(t *testing.T) {
			f := newTestFile(t, keyText(testKey(t, 1)))
			grant, err := f.authorize(1)
			require.NoError(t, err)
			lease := f.keys.Lease(grant)
			version := f.settled()

			breaks(f)
			require.Equal(t, version, f.keys.Version())
			require.NoError(t, lease.Renew(version, noon))
			_, err = f.authorize(1)
			require.Error(t, err, "who logs in has the file as it is")
			f.write(keyText(testKey(t, 1)))
			for range 3 {
				require.NoError(t, lease.Renew(f.keys.Version(), noon))
			}

			breaks(f)
			require.Error(t, lease.Renew(f.settled(), noon))
		})
	}
}

// Who logged in by what a file says only now isn't held against what it said
// before.
func TestLeaseOfAFileThatDoesNotCountYet(t *testing.T) {
	f := newTestFile(t, keyText(testKey(t, 1)))
	f.settled()
	f.write(keyText(testKey(t, 1)) + "\n" + `expiry-time="20261123130000Z" ` + keyText(testKey(t, 2)))
	grant, err := f.authorize(2)
	require.NoError(t, err)
	lease := f.keys.Lease(grant)
	for range 3 {
		require.NoError(t, lease.Renew(f.keys.Version(), noon))
	}
	f.write(keyText(testKey(t, 1)))
	require.ErrorIs(t, lease.Renew(f.settled(), noon), ErrUnknownKey)
}
