package wildcard

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"a"}},
		{"*", []string{"", "a", "abc"}, nil},
		{"?", []string{"a"}, []string{"", "ab"}},
		{"a*c", []string{"ac", "abc", "abcc", "acbc"}, []string{"a", "ab", "acb", "bac"}},
		{"*a*b", []string{"ab", "aab", "xaxb", "abab"}, []string{"ba", "abx"}},
		{"**", []string{"", "x"}, nil},
		{"10.?.*", []string{"10.1.2", "10.1."}, []string{"10.11.2"}},
		{"*.Example.com", []string{"a.Example.com"}, []string{"a.example.com", "Example.com"}},
	} {
		for _, text := range test.yes {
			require.True(t, Match(test.pattern, text), "%q %q", test.pattern, text)
		}
		for _, text := range test.no {
			require.False(t, Match(test.pattern, text), "%q %q", test.pattern, text)
		}
	}
	require.False(t, Match(strings.Repeat("*a", 2000), strings.Repeat("a", 1999)), "without exponential time")
}

func TestMatchList(t *testing.T) {
	for _, test := range []struct {
		patterns, text string
		want           bool
	}{
		{"a b", "b", true}, {"* !b", "b", false}, {"!b *", "a", true}, {"!b", "a", false}, {"", "", false},
	} {
		require.Equal(t, test.want, MatchList(strings.Fields(test.patterns), test.text), "%v", test)
	}
}

// FuzzMatch compares with the plain definition of a match.
func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", ""}, {"**", "a"}, {"a*b?c", "aXXbYc"}, {"?", ""}, {"*.example.com", "a.example.com"},
		{"[*]:22", "[a]:22"}, {"*a*a*a*b", "aaaaaaaaaaaaaaaa"}, {"", "a"}, {"abc*", "abc"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		got := Match(pattern, text)
		if len(pattern) > 12 || len(text) > 12 {
			return // the definition below takes exponential time
		}
		require.Equal(t, defined(pattern, text), got, "%q %q", pattern, text)
	})
}

func defined(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return defined(pattern[1:], text) || text != "" && defined(pattern, text[1:])
	}
	return text != "" && (pattern[0] == '?' || pattern[0] == text[0]) && defined(pattern[1:], text[1:])
}
