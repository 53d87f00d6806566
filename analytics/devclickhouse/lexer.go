package devclickhouse

import "strings"

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenQuoted // string, quoted name or here-document
	tokenOther
)

type token struct {
	kind tokenKind
	text string
	pos  int
}

// is reports whether the token is this keyword (in lower case).
func (t token) is(keyword string) bool {
	return t.kind == tokenWord && strings.EqualFold(t.text, keyword)
}

// lexer splits ClickHouse SQL into words, quoted things and single signs, and
// drops comments. Text that does not end its quote or comment ends there.
type lexer struct {
	s     string
	pos   int
	depth int // of round, square and curly brackets
}

func (l lexer) peek() token { return l.next() } // of a copy

func (l *lexer) next() token {
	l.skip()
	start := l.pos
	if start >= len(l.s) {
		return token{tokenEnd, "", start}
	}
	kind := tokenOther
	switch c := l.s[start]; {
	case c == '\'' || c == '"' || c == '`':
		kind = tokenQuoted
		l.quoted(c)
	case c == '$' && l.heredoc():
		kind = tokenQuoted
	case wordByte(c):
		kind = tokenWord
		for l.pos < len(l.s) && wordByte(l.s[l.pos]) {
			l.pos++
		}
	default:
		switch c {
		case '(', '[', '{':
			l.depth++
		case ')', ']', '}':
			l.depth--
		}
		l.pos++
	}
	return token{kind, l.s[start:l.pos], start}
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// skip moves over white space and comments: -- …, #! …, # …, /* … */ (nested).
func (l *lexer) skip() {
	for l.pos < len(l.s) {
		rest := l.s[l.pos:]
		switch {
		case strings.IndexByte(" \t\r\n\f\v\x00", rest[0]) >= 0:
			l.pos++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			l.to("\n")
		case strings.HasPrefix(rest, "/*"):
			l.comment()
		default:
			return
		}
	}
}

func (l *lexer) comment() {
	for level := 0; l.pos < len(l.s); {
		switch {
		case strings.HasPrefix(l.s[l.pos:], "/*"):
			level++
			l.pos += 2
		case strings.HasPrefix(l.s[l.pos:], "*/"):
			level--
			l.pos += 2
		default:
			l.pos++
		}
		if level == 0 {
			return
		}
	}
}

// to moves behind the next occurrence of end, or to the end of the text.
func (l *lexer) to(end string) {
	if i := strings.Index(l.s[l.pos:], end); i >= 0 {
		l.pos += i + len(end)
		return
	}
	l.pos = len(l.s)
}

// quoted moves behind a quoted text; \q and qq are an escaped quote q.
func (l *lexer) quoted(q byte) {
	for l.pos++; l.pos < len(l.s); l.pos++ {
		switch l.s[l.pos] {
		case '\\':
			l.pos++
		case q:
			if l.pos+1 < len(l.s) && l.s[l.pos+1] == q {
				l.pos++
				continue
			}
			l.pos++
			return
		}
	}
	l.pos = len(l.s)
}

// heredoc moves behind $tag$…$tag$ and reports whether there was one.
func (l *lexer) heredoc() bool {
	rest := l.s[l.pos:]
	n := strings.IndexByte(rest[1:], '$')
	if n < 0 {
		return false
	}
	tag := rest[:n+2]
	for i := 1; i < len(tag)-1; i++ {
		if !wordByte(tag[i]) {
			return false
		}
	}
	i := strings.Index(rest[len(tag):], tag)
	if i < 0 {
		return false
	}
	l.pos += len(tag) + i + len(tag)
	return true
}
