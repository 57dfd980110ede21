// Package arch checks who imports whom: the table of ARCHITECTURE.md, by the
// table of ARCHITECTURE.md.
package arch

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// module is the path all our packages begin with.
const module = "funnel/"

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// exclusive lists libraries and who alone may import them, as prefixes of our
// packages, with the reason.
var exclusive = []struct{ library, importer, reason string }{
	{"github.com/alecthomas/kong", "cmd/ bench", "configuration is plain structs; flags are the programs'"},
	{"gonum.org/v1/plot", "bench", "plots are the laboratory's: the programs stay small"},
	{"github.com/xtaci/smux", "internal/mux", "mux hides how a lane is multiplexed"},
	{"github.com/vishvananda/", "internal/wan", "namespaces are for tests and benchmarks"},
	{"github.com/landlock-lsm/", "internal/lockdown", "one place says what a process gives up"},
	{"github.com/coreos/go-systemd", "cmd/funnel-relay", "the service manager is the program's business"},
	{"unsafe", "internal/udpio internal/tcpio internal/wan", "they alone talk to the kernel in its own words"},
	{"testing", "", "tests stay out of the programs"},
	{"github.com/stretchr/testify", "", "tests stay out of the programs"},
	{"math/rand", "", "math/rand/v2 has replaced it"},
}

func TestImportsFollowTheTable(t *testing.T) {
	allowed := readTable(t)
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		row, listed := rowOf(allowed, name)
		require.Truef(t, listed, "%s is missing in the table of ARCHITECTURE.md", name)
		for _, path := range p.Imports {
			if imported, ours := strings.CutPrefix(path, module); ours && !slices.Contains(row, "*") {
				require.Containsf(t, row, imported, "%s imports %s, which ARCHITECTURE.md doesn't allow", name, imported)
			}
		}
	}
}

func TestLibrariesStayWhereTheyBelong(t *testing.T) {
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, path := range p.Imports {
			for _, e := range exclusive {
				exact := path == e.library || strings.HasPrefix(path, strings.TrimSuffix(e.library, "/")+"/") && e.library != "math/rand" && e.library != "testing"
				if exact {
					allowed := slices.ContainsFunc(strings.Fields(e.importer), func(prefix string) bool { return strings.HasPrefix(name, prefix) })
					require.Truef(t, allowed, "%s imports %s: %s", name, path, e.reason)
				}
			}
		}
	}
}

// TestProtoNeedsOnlyTheStandardLibrary keeps the protocol easy to take over.
func TestProtoNeedsOnlyTheStandardLibrary(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath != module+"proto" {
			continue
		}
		for _, path := range p.Imports {
			require.NotContainsf(t, strings.Split(path, "/")[0], ".", "proto imports %s", path)
		}
		return
	}
	require.Fail(t, "no package proto")
}

// TestFilesStaySmall: one noun to a file.
func TestFilesStaySmall(t *testing.T) {
	const most = 450
	err := filepath.WalkDir(root(t), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		require.LessOrEqualf(t, bytes.Count(b, []byte("\n")), most, "%s is too long", path)
		return nil
	})
	require.NoError(t, err)
}

// readTable reads the table of packages: for each its imports, "*" for any.
func readTable(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## Packages\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	name := regexp.MustCompile("`([a-z/-]+)`")
	table := make(map[string][]string)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || !strings.Contains(cells[0], "`") {
			continue
		}
		var imports []string
		for word := range strings.FieldsFuncSeq(cells[2], func(r rune) bool { return r == ',' || r == ' ' }) {
			switch word {
			case "proto", "*":
				imports = append(imports, word)
			default:
				imports = append(imports, "internal/"+word)
			}
		}
		for _, match := range name.FindAllStringSubmatch(cells[0], -1) {
			table[match[1]] = imports
		}
	}
	require.Greater(t, len(table), 15)
	return table
}

// rowOf finds a package's row; bench's holds for what is below it too.
func rowOf(table map[string][]string, name string) ([]string, bool) {
	if row, ok := table[name]; ok {
		return row, true
	}
	if strings.HasPrefix(name, "bench/") {
		return table["bench"], true
	}
	// Packages of tests alone import nothing that counts.
	return nil, name == "internal/arch" || name == "internal/e2e" || strings.HasPrefix(name, "internal/e2e/")
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	command.Dir = root(t)
	command.Stderr = os.Stderr
	out, err := command.Output()
	require.NoError(t, err)
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

// root is the repository's top.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "go.mod"))
	return dir
}
