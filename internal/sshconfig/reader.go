package sshconfig

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"funnel/internal/wildcard"
)

// reader collects what the files say of one host.
type reader struct {
	alias string
	env   environment

	// As read, before tokens are replaced. The first value counts, except for
	// identities, which add up.
	hostName   string
	port       uint16
	user       string
	identities []string
	knownHosts []string

	unused   map[string]bool // keywords of notUsed whose first value was seen
	files    int             // read so far, included ones too
	warnings []Warning
}

// notUsed are keywords that change how ssh reaches or knows a host and that
// funnel does not follow; silence about them would mislead.
var notUsed = map[string]string{
	"proxyjump":     "funnel dials the relay directly",
	"proxycommand":  "funnel dials the relay directly",
	"hostkeyalias":  "the host key is looked up by the host's own name",
	"identityagent": "funnel asks the ssh-agent of $SSH_AUTH_SOCK",
}

// source is where a line stands and whether it counts.
type source struct {
	path  string
	line  int    // from 1
	base  string // for relative includes
	depth int

	// outer is the verdict on the block that includes this file: a file that is
	// not included for this host has no block that is.
	outer verdict
	state verdict
	// match is the Match that could not be decided, and told whether it was
	// warned about; both are shared by what it includes.
	match string
	told  *bool
}

func (r *reader) warn(at source, format string, arguments ...any) {
	text := fmt.Sprintf(format, arguments...)
	r.warnings = append(r.warnings, Warning(fmt.Sprintf("%s:%d: %s", at.path, at.line, text)))
}

// readFile reads one file with the state given by who includes it.
func (r *reader) readFile(path string, at source) error {
	r.files++
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return err
	}
	if len(text) > maxFile {
		return fmt.Errorf("%s: more than %d bytes are no ssh configuration", path, maxFile)
	}
	at.path, at.line, at.outer = path, 0, at.state
	r.readText(string(text), at)
	return nil
}

func (r *reader) readText(text string, at source) {
	for row := range strings.Lines(text) {
		at.line++
		keyword, words, err := splitLine(row)
		switch {
		case err != nil:
			r.readBroken(keyword, err, &at)
		case keyword == "":
		case keyword == "host" || keyword == "match":
			r.enterBlock(keyword, words, row, &at)
		case at.state != no:
			r.readKeyword(keyword, words, at)
		}
	}
}

// readBroken skips a line, and the block after it when the line would have said
// for whom the block is. What funnel does not look at anyway may be as it is;
// commands of a shell often have quotes of their own.
func (r *reader) readBroken(keyword string, err error, at *source) {
	_, isNotUsed := notUsed[keyword]
	switch {
	case keyword == "host" || keyword == "match":
		at.state = no
		r.warn(*at, "block skipped: %v", err)
	case at.state == no:
	case isNotUsed:
		r.readKeyword(keyword, []string{"(unreadable)"}, *at)
	case r.honours(keyword) || keyword == "include":
		r.warn(*at, "line skipped: %v", err)
	}
}

// enterBlock decides whether the lines up to the next Host or Match count.
func (r *reader) enterBlock(keyword string, words []string, row string, at *source) {
	if at.outer == no {
		at.state = no
		return
	}
	state, err := verdictOf(wildcard.MatchList(words, r.alias)), error(nil)
	if keyword == "match" {
		state, err = r.decideMatch(words)
	} else if len(words) == 0 {
		err = errors.New("no pattern follows Host")
	}
	if err != nil {
		r.warn(*at, "block skipped: %v", err)
	}
	at.state = state
	switch {
	case state == undecided:
		at.match, at.told = fmt.Sprintf("%s:%d: %q", at.path, at.line, strings.TrimSpace(row)), new(bool)
	case state == yes && at.outer == undecided:
		at.state = undecided // and at.match is still the outer one
	}
}

// readKeyword takes in one line of a block that counts, or may count.
func (r *reader) readKeyword(keyword string, words []string, at source) {
	if keyword == "include" {
		r.include(words, at)
		return
	}
	if !r.honours(keyword) {
		return
	}
	if at.state == undecided {
		if !*at.told {
			*at.told = true
			r.warnings = append(r.warnings, Warning(at.match+" is decided by ssh alone: its block is skipped"))
		}
		return
	}
	if len(words) == 0 {
		r.warn(at, "line skipped: %s has no value", keyword)
		return
	}
	r.take(keyword, words, at)
}

func (r *reader) honours(keyword string) bool {
	switch keyword {
	case "hostname", "port", "user", "identityfile", "userknownhostsfile":
		return true
	}
	_, known := notUsed[keyword]
	return known
}

func (r *reader) take(keyword string, words []string, at source) {
	value := words[0]
	switch keyword {
	case "hostname":
		takeFirst(&r.hostName, value)
	case "user":
		takeFirst(&r.user, value)
	case "port":
		r.takePort(value, at)
	case "identityfile":
		r.identities = append(r.identities, value)
	case "userknownhostsfile":
		if r.knownHosts == nil {
			r.knownHosts = words
		}
	default:
		if !r.unused[keyword] && !strings.EqualFold(value, "none") {
			r.warn(at, "%s is not used: %s", keyword, notUsed[keyword])
		}
		r.unused[keyword] = true
	}
}

func takeFirst(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func (r *reader) takePort(value string, at source) {
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil || port == 0 {
		r.warn(at, "line skipped: port %q is no number from 1 to 65535", value)
		return
	}
	if r.port == 0 {
		r.port = uint16(port)
	}
}

// include reads the files in place of the line. What they say counts as far as
// the line does.
func (r *reader) include(words []string, at source) {
	if at.depth+1 > maxDepth {
		r.warn(at, "Include skipped: files include each other more than %d deep", maxDepth)
		return
	}
	if r.files == maxFiles {
		r.files++ // so that it is told once
		r.warn(at, "Include skipped: more than %d files include each other", maxFiles)
	}
	for _, word := range words {
		pattern, err := r.env.expandPath(word, r.tokens(Host{HostName: r.currentHostName(), Port: r.port, User: r.user}))
		if err != nil {
			r.warn(at, "Include skipped: %v", err)
			continue
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(at.base, pattern)
		}
		paths, err := filepath.Glob(pattern)
		if err != nil {
			r.warn(at, "Include skipped: %q: %v", word, err)
		}
		for _, path := range paths {
			if r.files >= maxFiles {
				return
			}
			inner := at
			inner.depth++
			if err := r.readFile(path, inner); err != nil {
				r.warn(at, "Include skipped: %v", err)
			}
		}
	}
}
