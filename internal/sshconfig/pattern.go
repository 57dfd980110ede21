package sshconfig

import "strings"

// matchList tells whether a list of patterns, some perhaps negated by !, fits
// the name: one does, and no negated one.
func matchList(patterns []string, name string) bool {
	matched := false
	for _, pattern := range patterns {
		positive, negated := strings.CutPrefix(pattern, "!")
		switch {
		case !matchPattern(positive, name):
		case negated:
			return false
		default:
			matched = true
		}
	}
	return matched
}

// matchPattern tells whether name is what pattern says, in which * stands for
// any characters and ? for one. Only the last star is ever tried again, so the
// cost is at most the product of the lengths.
func matchPattern(pattern, name string) bool {
	star, resume := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
