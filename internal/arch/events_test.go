package arch

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// programOf says whose events a package logs: the sections of docs/LOGS.md.
var programOf = map[string]string{
	"cmd/funnel-relay": "funnel-relay", "internal/relay": "funnel-relay", "internal/session": "funnel-relay",
	"internal/access": "funnel-relay", "internal/lockdown": "funnel-relay",
	"cmd/funnel-agent": "funnel-agent", "internal/agent": "funnel-agent", "internal/replay": "funnel-agent",
	"internal/trust": "funnel-agent", "internal/keys": "funnel-agent",
	"internal/keep": "funnel-agent", "internal/netwatch": "funnel-agent",
	"internal/pace": "both programs", "internal/obs": "both programs",
}

// wrapper is a function of ours that logs what it is told to.
type wrapper struct {
	message int      // which argument is the event
	level   string   // "" if the caller says it
	fields  []string // that it adds
	rest    bool     // the arguments after the event are fields and their values
}

// wrappers are all of them, by package and name.
var wrappers = map[string]wrapper{
	"internal/obs.Info":           {message: 1, level: "info", fields: []string{"held_back"}, rest: true}, // of Throttle
	"internal/relay.logRefused":   {level: "info", fields: []string{"held_back"}, rest: true},
	"internal/session.logRefused": {level: "info", fields: []string{"held_back"}, rest: true},
	"internal/trust.warnOnce":     {message: 2, rest: true},
	"internal/keys.warnOnce":      {level: "warn", fields: []string{"error"}},
	"internal/access.warn":        {level: "warn", fields: []string{"file", "line", "reason"}},
}

// event is a line of a log.
type event struct{ program, message string }

// told is what there is to know of an event: its levels and fields, sorted.
type told struct{ levels, fields []string }

// TestEventsAreDocumented compares docs/LOGS.md with the source: whoever builds
// on a line of the log finds it as it was.
func TestEventsAreDocumented(t *testing.T) {
	inSource, fieldsInSource := eventsInSource(t)
	inDocument, fieldsInDocument := eventsInDocument(t)
	for _, e := range slices.SortedFunc(maps.Keys(inSource), compareEvents) {
		documented, ok := inDocument[e]
		require.Truef(t, ok, "docs/LOGS.md, section %s: event %q is missing", e.program, e.message)
		require.Equalf(t, inSource[e].fields, documented.fields, "docs/LOGS.md, section %s: fields of %q", e.program, e.message)
		if levels := inSource[e].levels; len(levels) > 0 {
			require.Equalf(t, levels, documented.levels, "docs/LOGS.md, section %s: level of %q", e.program, e.message)
		}
	}
	for e := range inDocument {
		require.Containsf(t, inSource, e, "docs/LOGS.md, section %s: nothing logs %q", e.program, e.message)
	}
	require.Equal(t, slices.Sorted(maps.Keys(fieldsInSource)), slices.Sorted(maps.Keys(fieldsInDocument)), "docs/LOGS.md: table of fields")
}

func compareEvents(a, b event) int { return strings.Compare(a.program+a.message, b.program+b.message) }

// eventsInDocument reads the tables of docs/LOGS.md.
func eventsInDocument(t *testing.T) (map[event]told, map[string]bool) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "LOGS.md"))
	require.NoError(t, err)
	quoted := regexp.MustCompile("`([^`]+)`")
	events, fields := make(map[event]told), make(map[string]bool)
	section := ""
	for line := range strings.Lines(string(text)) {
		if title, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.ToLower(strings.TrimSpace(title))
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		name := quoted.FindStringSubmatch(cells[0])
		if !strings.HasPrefix(line, "|") || name == nil {
			continue
		}
		if len(cells) == 2 {
			for _, match := range quoted.FindAllStringSubmatch(cells[0], -1) {
				require.NotContains(t, fields, match[1], "twice in docs/LOGS.md")
				fields[match[1]] = true
			}
			continue
		}
		require.Len(t, cells, 4, line)
		var d told
		d.levels = sorted(strings.FieldsFunc(cells[1], func(r rune) bool { return r == ' ' || r == ',' }))
		for _, match := range quoted.FindAllStringSubmatch(cells[2], -1) {
			d.fields = append(d.fields, match[1])
		}
		d.fields = sorted(d.fields)
		e := event{section, name[1]}
		require.NotContains(t, events, e, "twice in docs/LOGS.md")
		events[e] = d
	}
	return events, fields
}

// sorted is a sorted copy without repetitions, never nil.
func sorted(texts []string) []string {
	texts = append([]string{}, texts...)
	slices.Sort(texts)
	return slices.Compact(texts)
}

// eventsInSource finds what our packages log, and all names of fields, those
// that loggers carry along too.
func eventsInSource(t *testing.T) (map[event]told, map[string]bool) {
	s := &sourceEvents{t: t, events: make(map[event]told), fields: make(map[string]bool)}
	for _, p := range listPackages(t) {
		s.pkg = strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(s.pkg, "bench") || strings.HasPrefix(s.pkg, "internal/e2e") {
			continue
		}
		files, err := filepath.Glob(filepath.Join(root(t), s.pkg, "*.go"))
		require.NoError(t, err)
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			s.files = token.NewFileSet()
			file, err := parser.ParseFile(s.files, path, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			for _, declaration := range file.Decls {
				if function, ok := declaration.(*ast.FuncDecl); ok && function.Body != nil {
					s.inFunction(function)
				}
			}
		}
	}
	require.Greater(t, len(s.events), 40, "the test finds too little")
	return s.events, s.fields
}

// sourceEvents collects.
type sourceEvents struct {
	t      *testing.T
	pkg    string
	files  *token.FileSet
	events map[event]told
	fields map[string]bool
}

// inFunction finds the calls that log in a function.
func (s *sourceEvents) inFunction(function *ast.FuncDecl) {
	if _, itself := wrappers[s.pkg+"."+function.Name.Name]; itself {
		return
	}
	ast.Inspect(function.Body, func(n ast.Node) bool {
		if literal, ok := n.(*ast.AssignStmt); ok && len(literal.Lhs) == 1 {
			if name, ok := literal.Lhs[0].(*ast.Ident); ok {
				if _, itself := wrappers[s.pkg+"."+name.Name]; itself {
					return false
				}
			}
		}
		if call, ok := n.(*ast.CallExpr); ok {
			s.call(function, call)
		}
		return true
	})
}

// call looks at one call.
func (s *sourceEvents) call(function *ast.FuncDecl, call *ast.CallExpr) {
	name, receiver := calledName(call)
	if w, ok := wrappers[s.pkg+"."+name]; ok {
		fields := slices.Clone(w.fields)
		if w.rest {
			fields = append(fields, s.keys(function, call, w.message+1)...)
		}
		s.add(call, call.Args[w.message], w.level, fields)
		return
	}
	if receiver != "log" && receiver != "Log" && receiver != "logger" {
		return
	}
	switch name {
	case "With":
		for _, field := range s.keys(function, call, 0) {
			s.fields[field] = true
		}
	case "Debug", "Info", "Warn", "Error":
		s.add(call, call.Args[0], strings.ToLower(name), s.keys(function, call, 1))
	case "Log":
		s.add(call, call.Args[2], "", s.keys(function, call, 3)) // the level is a variable
	case "LogAttrs", "DebugContext", "InfoContext", "WarnContext", "ErrorContext":
		require.Failf(s.t, "not understood", "%s: make the function one of wrappers", s.files.Position(call.Pos()))
	}
}

// calledName is the name of a function, and of what it is a method of.
func calledName(call *ast.CallExpr) (name, receiver string) {
	switch called := call.Fun.(type) {
	case *ast.Ident:
		return called.Name, ""
	case *ast.SelectorExpr:
		switch x := called.X.(type) {
		case *ast.Ident:
			receiver = x.Name
		case *ast.SelectorExpr:
			receiver = x.Sel.Name
		}
		return called.Sel.Name, receiver
	}
	return "", ""
}

func (s *sourceEvents) add(call *ast.CallExpr, message ast.Expr, level string, fields []string) {
	text, ok := literalText(message)
	require.Truef(s.t, ok, "%s: an event needs a fixed name", s.files.Position(call.Pos()))
	program, known := programOf[s.pkg]
	require.Truef(s.t, known, "%s logs %q: add the package to programOf", s.pkg, text)
	e := event{program, text}
	before := s.events[e]
	if level != "" {
		before.levels = sorted(append(before.levels, level))
	}
	before.fields = sorted(append(before.fields, fields...))
	s.events[e] = before
	for _, field := range fields {
		s.fields[field] = true
	}
}

// keys are the names of fields among a call's arguments, from one on. What is
// passed on as arguments... is looked for in all the function.
func (s *sourceEvents) keys(function *ast.FuncDecl, call *ast.CallExpr, from int) []string {
	if call.Ellipsis == token.NoPos {
		return s.alternating(call.Args[from:])
	}
	var found []string
	ast.Inspect(function.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			if array, ok := n.Type.(*ast.ArrayType); ok && fmt.Sprint(array.Elt) == "any" {
				found = append(found, s.alternating(n.Elts)...)
			}
		case *ast.CallExpr:
			if name, _ := calledName(n); name == "append" && len(n.Args)%2 == 1 {
				found = append(found, s.alternating(n.Args[1:])...)
			}
		}
		return true
	})
	require.NotEmpty(s.t, found, "%s", s.files.Position(call.Pos()))
	return found
}

func (s *sourceEvents) alternating(arguments []ast.Expr) []string {
	var found []string
	for i := 0; i < len(arguments); i += 2 {
		text, ok := literalText(arguments[i])
		require.Truef(s.t, ok, "%s: a field needs a fixed name", s.files.Position(arguments[i].Pos()))
		found = append(found, text)
	}
	return found
}

func literalText(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(literal.Value)
	return text, err == nil
}
