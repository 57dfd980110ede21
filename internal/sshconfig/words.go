package sshconfig

import (
	"errors"
	"strings"
)

// splitLine takes one line apart: the keyword in lower case, and the words after
// it. The keyword is empty for a line that says nothing. "Keyword value" and
// "Keyword=value" are the same.
func splitLine(text string) (keyword string, words []string, err error) {
	text = strings.TrimSpace(text)
	if text == "" || text[0] == '#' {
		return "", nil, nil
	}
	end := strings.IndexAny(text, " \t=")
	if end < 0 {
		return strings.ToLower(text), nil, nil
	}
	keyword = strings.ToLower(text[:end])
	rest := strings.TrimLeft(text[end:], " \t")
	rest = strings.TrimPrefix(rest, "=")
	words, err = splitWords(rest)
	return keyword, words, err
}

// splitWords follows OpenSSH: words stand between spaces, quotes of both kinds
// hold spaces, a backslash takes the meaning from a quote, a backslash or a space
// and is itself otherwise (as in a path of Windows), and a word that begins with
// # begins a comment.
func splitWords(text string) ([]string, error) {
	var words []string
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" || text[0] == '#' {
			return words, nil
		}
		word, rest, err := nextWord(text)
		if err != nil {
			return nil, err
		}
		words, text = append(words, word), rest
	}
}

func nextWord(text string) (word, rest string, err error) {
	var built strings.Builder
	quote := byte(0)
	for at := 0; at < len(text); at++ {
		c := text[at]
		switch {
		case c == '\\' && at+1 < len(text) && escapes(text[at+1], quote):
			at++
			built.WriteByte(text[at])
		case quote == 0 && (c == ' ' || c == '\t'):
			return built.String(), text[at:], nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		default:
			built.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", errors.New("a quote is not closed")
	}
	return built.String(), "", nil
}

// escapes tells whether a backslash before c is no backslash.
func escapes(c, quote byte) bool {
	return c == '"' || c == '\'' || c == '\\' || c == ' ' && quote == 0
}
