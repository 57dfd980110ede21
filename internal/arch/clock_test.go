package arch

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wallClock matches what takes the wall clock's reading out of a time.Time, or
// compares with one that has no other. Everything else goes by the monotonic
// reading that time.Now adds, which a clock that is set doesn't move.
var wallClock = regexp.MustCompile(`\.Unix(Milli|Micro|Nano)?\(\)|\.Round\(0\)|\.ModTime\(\)|\bCLOCK_REALTIME\b|\btime\.(Date|Parse|ParseInLocation)\(`)

// readers of the wall clock, each with what becomes of it when the clock is set.
var readers = map[string]string{
	"internal/access/certificate.go": "a certificate is valid by the wall clock",
	"internal/access/options.go":     "so is a key, with expiry-time",
	"internal/access/watched.go":     "a file's time is compared with another of the same file; one from the future is read again at each login",
	"internal/keys/certificate.go":   "as in access",
	"internal/netwatch/clock.go":     "a clock set ahead counts as a sleep: the agent dials once for nothing",
	"internal/obs/clock.go":          "the log says so",
	"internal/probe/file.go":         "samples say when they were taken",
}

// TestOnlyTheseReadTheWallClock keeps a clock that jumps from meaning anything
// but what it has to.
func TestOnlyTheseReadTheWallClock(t *testing.T) {
	found := make(map[string]bool)
	root := filepath.Join("..", "..")
	for _, top := range []string{"cmd", "internal", "proto"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, top), func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			content, err := os.ReadFile(path) // #nosec G122 -- our own source
			if err != nil {
				return err
			}
			name, err := filepath.Rel(root, path)
			if wallClock.Match(content) {
				found[filepath.ToSlash(name)] = true
			}
			return err
		}))
	}
	for name := range found {
		require.Containsf(t, readers, name, "%s reads the wall clock; what if it is set?", name)
	}
	for name := range readers {
		require.Truef(t, found[name], "%s doesn't read the wall clock any more", name)
	}
}
