package sqlexpr

import (
	"strings"
)

// maxText bounds what is parsed, and maxDepth how deep it nests.
const (
	maxText  = 64 << 10
	maxDepth = 200
)

type tokenKind int

const (
	tokEnd tokenKind = iota
	tokWord
	tokQuoted // an identifier in double quotes
	tokString
	tokNumber
	tokParam
	tokSymbol
)

type token struct {
	kind tokenKind
	text string // words in lower case, strings and identifiers without quotes
}

const symbols3 = "->>"

func symbols2() []string { return []string{"<=", ">=", "<>", "!=", "||", "^@", "::", "->"} }

func lex(text string) ([]token, error) {
	if len(text) > maxText {
		return nil, notUnderstood("an expression of more than %d bytes", maxText)
	}
	var list []token
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case letter(c):
			j := i + 1
			for j < len(text) && (letter(text[j]) || digit(text[j]) || text[j] == '$') {
				j++
			}
			list = append(list, token{tokWord, strings.ToLower(text[i:j])})
			i = j
		case digit(c) || c == '.' && i+1 < len(text) && digit(text[i+1]):
			j := number(text, i)
			list = append(list, token{tokNumber, text[i:j]})
			i = j
		case c == '$' && i+1 < len(text) && digit(text[i+1]):
			j := i + 1
			for j < len(text) && digit(text[j]) {
				j++
			}
			list = append(list, token{tokParam, text[i+1 : j]})
			i = j
		case c == '\'' || c == '"':
			word, next, err := quoted(text, i)
			if err != nil {
				return nil, err
			}
			kind := tokString
			if c == '"' {
				kind = tokQuoted
			}
			list = append(list, token{kind, word})
			i = next
		default:
			n := symbol(text[i:])
			if n == 0 {
				return nil, notUnderstood("%q", text[i:i+1])
			}
			list = append(list, token{tokSymbol, text[i : i+n]})
			i += n
		}
	}
	return append(list, token{kind: tokEnd}), nil
}

func letter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}
func digit(c byte) bool { return c >= '0' && c <= '9' }

// number returns the end of the number at i.
func number(text string, i int) int {
	for i < len(text) && digit(text[i]) {
		i++
	}
	if i < len(text) && text[i] == '.' {
		for i++; i < len(text) && digit(text[i]); i++ {
		}
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		j := i + 1
		if j < len(text) && (text[j] == '+' || text[j] == '-') {
			j++
		}
		if j < len(text) && digit(text[j]) {
			for i = j; i < len(text) && digit(text[i]); i++ {
			}
		}
	}
	return i
}

// quoted reads a literal or an identifier; its quote is doubled inside.
func quoted(text string, i int) (word string, next int, err error) {
	quote := text[i]
	var b strings.Builder
	for i++; i < len(text); i++ {
		if text[i] != quote {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		return b.String(), i + 1, nil
	}
	return "", 0, fault("42601", "unterminated quoted text")
}

// symbol returns the length of the operator or sign at the beginning of text, or 0.
func symbol(text string) int {
	// A comment is no operator: -- and /* end up as 0.
	if strings.HasPrefix(text, "--") || strings.HasPrefix(text, "/*") {
		return 0
	}
	if strings.HasPrefix(text, symbols3) {
		return 3
	}
	for _, s := range symbols2() {
		if strings.HasPrefix(text, s) {
			return 2
		}
	}
	if strings.IndexByte("()[],.=<>+-*/%", text[0]) >= 0 {
		return 1
	}
	return 0
}
