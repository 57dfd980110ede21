package access

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"funnel/internal/forward"
)

// quote repeats a text in an error, cut if it is long.
func quote(text string) string {
	if len(text) > maxQuote {
		return strconv.Quote(text[:maxQuote]) + "..."
	}
	return strconv.Quote(text)
}

// list joins items for a sentence and leaves out those beyond maxListed.
func list(items []string) string {
	if more := len(items) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(items[:maxListed], ", "), more)
	}
	return strings.Join(items, ", ")
}

// listPorts names ports in a sentence.
func listPorts(ports forward.Ports) string {
	texts := make([]string, len(ports))
	for i, r := range ports {
		texts[i] = r.String()
	}
	return list(texts)
}

// cleanName makes a comment fit for logs and terminals: one line of printable
// characters, at most maxName bytes.
func cleanName(comment string) string {
	name := strings.Join(strings.Fields(strings.ToValidUTF8(comment, "?")), " ")
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
	if len(name) > maxName {
		name = strings.ToValidUTF8(name[:maxName], "")
	}
	return strings.TrimSpace(name)
}
