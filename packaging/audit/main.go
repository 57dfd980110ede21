// Command audit asks govulncheck about known vulnerabilities in what is released:
// the two programs, their libraries, and the Go that builds them. It exits 1 if
// one of our programs calls something vulnerable that isn't in accepted, or if
// there is no database to ask.
//
//	go run ./packaging/audit
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// accepted are vulnerabilities that our programs call and that do them no harm,
// with the reason. One that is found no more is to be taken out.
var accepted = map[string]string{
	"GO-2026-6599": "html/template and JavaScript: our one template, internal/checkup/page.html, has none; mended in Go 1.26.9",
	"GO-2026-6600": "html/template and JavaScript: our one template, internal/checkup/page.html, has none; mended in Go 1.26.9",
}

const (
	toolsMod   = "packaging/tools/go.mod"
	live       = "https://vuln.go.dev"
	copyModule = "golang.org/x/vulndb" // has the database too, as of the version in toolsMod
	liveWait   = 10 * time.Second      // to find out whether the live database answers
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "audit:", err)
		os.Exit(1)
	}
}

func run(w io.Writer) error {
	database, err := chooseDatabase(w)
	if err != nil {
		return fmt.Errorf("NOT AUDITED for known vulnerabilities: %w", err)
	}
	command := exec.Command("go", "tool", "-modfile="+toolsMod, "govulncheck", "-db", database, "-format", "json", "./cmd/...") // #nosec G204 -- all of it is ours
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("NOT AUDITED for known vulnerabilities: govulncheck: %w", err)
	}
	found, err := parse(bytes.NewReader(out))
	if err != nil {
		return fmt.Errorf("read govulncheck's report: %w", err)
	}
	return judge(w, found)
}

// chooseDatabase is the live database, or the copy where that can't be reached.
func chooseDatabase(w io.Writer) (string, error) {
	client := http.Client{Timeout: liveWait}
	response, err := client.Get(live + "/index/db.json")
	if err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			fmt.Fprintf(w, "vulnerabilities: as %s has them now\n", live)
			return live, nil
		}
		err = errors.New(response.Status)
	}
	var module struct{ Version, Dir, Error string }
	download := exec.Command("go", "mod", "download", "-modfile="+toolsMod, "-json", copyModule) // #nosec G204 -- constants
	out, downloadErr := download.Output()
	if jsonErr := json.Unmarshal(out, &module); downloadErr != nil || jsonErr != nil || module.Error != "" {
		return "", fmt.Errorf("%w, and no copy in %s: %s", err, copyModule, module.Error)
	}
	fmt.Fprintf(w, "vulnerabilities: %s can't be reached (%v); NOT UP TO DATE: the copy of %s is asked, which %s names\n",
		live, err, module.Version, toolsMod)
	return "file://" + filepath.Join(module.Dir, "data", "osv"), nil
}

// finding is a vulnerability as govulncheck found it.
type finding struct {
	OSV   string `json:"osv"`
	Fixed string `json:"fixed_version"`
	Trace []struct {
		Module   string `json:"module"`
		Version  string `json:"version"`
		Package  string `json:"package"`
		Function string `json:"function"`
	} `json:"trace"`
}

// called says whether our code reaches the vulnerable function, and not only
// its module or package.
func (f finding) called() bool { return len(f.Trace) > 0 && f.Trace[0].Function != "" }

// parse reads govulncheck's report: for each vulnerability one finding, a called
// one if there is any. A report that never began is an error.
func parse(r io.Reader) (map[string]finding, error) {
	found := make(map[string]finding)
	begun := false
	for decoder := json.NewDecoder(r); ; {
		var message struct {
			Config  *struct{} `json:"config"`
			Finding *finding  `json:"finding"`
		}
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF) && begun:
			return found, nil
		case err != nil:
			return nil, err
		}
		begun = begun || message.Config != nil
		if f := message.Finding; f != nil && (f.called() || found[f.OSV].OSV == "") {
			found[f.OSV] = *f
		}
	}
}

// judge tells what was found, and is an error if some of it isn't accepted.
func judge(w io.Writer, found map[string]finding) error {
	var bad []string
	uncalled := 0
	for _, id := range slices.Sorted(maps.Keys(found)) {
		f := found[id]
		switch reason := accepted[id]; {
		case !f.called():
			uncalled++
		case reason != "":
			fmt.Fprintf(w, "%s: accepted: %s\n", id, reason)
		default:
			at := f.Trace[0]
			fmt.Fprintf(w, "%s: %s.%s of %s %s, mended in %s: https://pkg.go.dev/vuln/%s\n", id, at.Package, at.Function, at.Module, at.Version, f.Fixed, id)
			bad = append(bad, id)
		}
	}
	fmt.Fprintf(w, "%d more are in what we build with, but nothing of ours calls what is vulnerable\n", uncalled)
	for _, id := range slices.Sorted(maps.Keys(accepted)) {
		if !found[id].called() {
			fmt.Fprintf(w, "%s: accepted, but not found any more: take it out of packaging/audit once all build with that Go\n", id)
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("vulnerable: %s", strings.Join(bad, ", "))
	}
	return nil
}
