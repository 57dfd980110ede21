// Package wildcard matches names as OpenSSH does wherever it takes patterns: in
// authorized_keys, known_hosts and ssh_config (ssh_config(5), PATTERNS).
package wildcard

import "strings"

// Match says whether text matches the pattern, in which "*" stands for any bytes,
// also none, and "?" for exactly one. Letters count as they are. A hostile pattern
// costs no more than the product of the lengths.
func Match(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0 // the last "*", the only one ever tried again, and where in text it ends for now
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// MatchList says whether text matches a list of patterns, each negated by a "!"
// before it: at least one, and none that is negated.
func MatchList(patterns []string, text string) bool {
	matched := false
	for _, pattern := range patterns {
		positive, negated := strings.CutPrefix(pattern, "!")
		switch {
		case !Match(positive, text):
		case negated:
			return false
		default:
			matched = true
		}
	}
	return matched
}
