// Package sqlsplit cuts SQL text into statements the way psql does: it knows strings, quoted names, dollar quotes, nested
// comments, parentheses and the bodies of SQL functions (BEGIN ATOMIC), and nothing else of the grammar.
package sqlsplit

import (
	"iter"
	"strings"
)

// Statement is one statement of a text.
type Statement struct {
	Text string // without the semicolon, comments in front of it and white space around it
	Line int    // of its first word, from 1
	At   int    // offset of Text in the text that was split
}

// Split returns the statements of a text. Whatever is left open at the end, a string say, belongs to the last one.
func Split(text string) []Statement {
	var list []Statement
	s := scanner{text: text}
	begin, depth, words := -1, 0, body{}
	end := func() {
		if begin >= 0 {
			list = append(list, Statement{
				Text: strings.TrimSpace(text[begin:s.start]),
				Line: 1 + strings.Count(text[:begin], "\n"),
				At:   begin,
			})
		}
		begin, depth, words = -1, 0, body{}
	}
	for s.next() {
		if s.kind == semicolon && depth <= 0 && words.open == 0 {
			end()
			continue
		}
		switch s.kind {
		case space:
			continue
		case opening:
			depth++
		case closing:
			depth--
		case word:
			words.add(s.token())
		}
		if begin < 0 && s.kind != semicolon {
			begin = s.start
		}
	}
	s.start = len(text)
	end()
	return list
}

// Words returns the first n words of a statement in lower case, comments and punctuation left out; quoted names and
// strings count as words in the case they have.
func Words(statement string, n int) []string {
	var list []string
	s := scanner{text: statement}
	for len(list) < n && s.next() {
		switch s.kind {
		case word:
			list = append(list, strings.ToLower(s.token()))
		case quoted:
			list = append(list, s.token())
		}
	}
	return list
}

// First returns the first word of a text as it is written, or "" if the text begins with anything else. It allocates nothing.
func First(text string) string {
	s := scanner{text: text}
	for s.next() {
		switch s.kind {
		case space, semicolon:
		case word:
			return s.token()
		default:
			return ""
		}
	}
	return ""
}

// Ends tells whether a statement with these first words, as Words returns them, begins or ends a transaction.
func Ends(words []string) bool {
	at := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	switch at(0) {
	case "begin", "start", "commit", "end", "abort":
		return true
	case "rollback": // TO SAVEPOINT ends none
		return at(1) != "to" && (at(1) != "work" && at(1) != "transaction" || at(2) != "to")
	case "prepare":
		return at(1) == "transaction"
	}
	return false
}

// Tokens returns a text's words, quoted names, strings and other characters, comments and white space left out.
func Tokens(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		s := scanner{text: text}
		for s.next() {
			if s.kind != space && !yield(s.token()) {
				return
			}
		}
	}
}

// body tells whether a statement is inside of BEGIN ATOMIC … END, as psql does.
type body struct {
	seen int
	open int // begin and case without their end
	head [4]string
}

func (b *body) add(token string) {
	token = strings.ToLower(token)
	if b.seen < len(b.head) {
		b.head[b.seen] = token
	}
	b.seen++
	if !b.routine() {
		return
	}
	switch token {
	case "begin":
		b.open++
	case "case":
		if b.open > 0 {
			b.open++
		}
	case "end":
		b.open = max(b.open-1, 0)
	}
}

func (b *body) routine() bool {
	kind := b.head[1]
	if kind == "or" {
		kind = b.head[3]
	}
	return b.head[0] == "create" && (kind == "function" || kind == "procedure")
}

// kind is the kind of a token.
type kind int

const (
	space kind = iota // comments too
	word
	quoted // a string or a quoted name
	opening
	closing
	semicolon
	other
)

// scanner cuts a text into tokens; together they are the text.
type scanner struct {
	text       string
	start, end int
	kind       kind
}

func (s *scanner) token() string { return s.text[s.start:s.end] }

func (s *scanner) next() bool {
	s.start = s.end
	if s.start >= len(s.text) {
		return false
	}
	rest := s.text[s.start:]
	n := 1
	switch c := rest[0]; {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
		s.kind = space
	case strings.HasPrefix(rest, "--"):
		s.kind = space
		if n = strings.IndexAny(rest, "\r\n"); n < 0 {
			n = len(rest)
		}
	case strings.HasPrefix(rest, "/*"):
		s.kind, n = space, comment(rest)
	case c == '\'' || c == '"':
		s.kind, n = quoted, until(rest, 1, c, false)
	case c == '$':
		s.kind, n = other, 1
		if m := dollar(rest); m > 0 {
			s.kind, n = quoted, m
		}
	case letter(c):
		for n < len(rest) && (letter(rest[n]) || digit(rest[n]) || rest[n] == '$') {
			n++
		}
		s.kind = word
		if n == 1 && len(rest) > 1 && rest[1] == '\'' && (c == 'e' || c == 'E') {
			s.kind, n = quoted, escaped(rest) // backslashes escape in e'…'
		}
	case c == '(' || c == '[':
		s.kind = opening
	case c == ')' || c == ']':
		s.kind = closing
	case c == ';':
		s.kind = semicolon
	case digit(c):
		s.kind = other
		// Before PostgreSQL 15 a name may follow without a space, and a $ is part of that, where no string can be.
		for named := false; n < len(rest) && (letter(rest[n]) || digit(rest[n]) || named && rest[n] == '$'); n++ {
			named = named || letter(rest[n])
		}
	default:
		s.kind = other
	}
	s.end = s.start + n
	return true
}

// until returns the length up to and with the quote; a doubled one is part of the text.
func until(s string, from int, quote byte, escapes bool) int {
	for i := from; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// escaped returns the length of a string e'…', and with it of those that continue it on further lines: in them backslashes
// escape, too.
func escaped(s string) int {
	n := until(s, 2, '\'', true)
	for {
		more := scanner{text: s, start: n, end: n}
		line := false
		for more.next() && more.kind == space && !strings.HasPrefix(more.token(), "/*") {
			line = line || strings.ContainsAny(more.token(), "\r\n")
		}
		if !line || more.start >= len(s) || s[more.start] != '\'' {
			return n
		}
		n = more.start + until(s[more.start:], 1, '\'', true)
	}
}

// comment returns the length of a comment, which may hold others.
func comment(s string) int {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			if depth--; depth == 0 {
				return i + 2
			}
			i++
		}
	}
	return len(s)
}

// dollar returns the length of a dollar-quoted string, or 0 if s does not start with one.
func dollar(s string) int {
	n := 1
	for n < len(s) && (letter(s[n]) || n > 1 && digit(s[n])) {
		n++
	}
	if n >= len(s) || s[n] != '$' {
		return 0
	}
	tag := s[:n+1]
	if end := strings.Index(s[n+1:], tag); end >= 0 {
		return n + 1 + end + len(tag)
	}
	return len(s)
}

func letter(c byte) bool { return c == '_' || c >= 0x80 || c|0x20 >= 'a' && c|0x20 <= 'z' }

func digit(c byte) bool { return c >= '0' && c <= '9' }
