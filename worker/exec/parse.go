package exec

import (
	"errors"
	"strings"
)

// split cuts a command line into words as a shell would, and does nothing else a shell does: spaces separate,
// single quotes keep everything, double quotes keep everything but a backslash before " or \, and outside of
// quotes a backslash keeps the next character.
func split(line string) ([]string, error) {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  rune
		escape bool
	)
	for _, c := range line {
		switch {
		case escape:
			if quote == '"' && c != '"' && c != '\\' {
				word.WriteRune('\\')
			}
			word.WriteRune(c)
			escape = false
		case c == '\\' && quote != '\'':
			escape, inWord = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, inWord = c, true
		case c == ' ' || c == '\t' || c == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(c)
			inWord = true
		}
	}
	switch {
	case escape:
		return nil, errors.New("backslash at the end")
	case quote != 0:
		return nil, errors.New("unbalanced " + string(quote))
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}
