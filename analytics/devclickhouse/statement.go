package devclickhouse

import "strings"

// statement is what the server must know of a query before the engine gets it.
type statement struct {
	sql string // the text; of an INSERT with data the part before FORMAT or VALUES
	// format is the input format of an INSERT with data, or the FORMAT clause
	// of another query, or empty.
	format string
	data   int // where an INSERT's data starts in the text, else -1
}

// parseStatement finds out whether a query is an INSERT with data, and the
// format that it names. It needs no grammar of ClickHouse: only strings,
// comments, brackets and the order of a few keywords.
func parseStatement(sql string) statement {
	s := statement{sql: sql, data: -1}
	l := lexer{s: sql}
	if t := l.next(); t.is("insert") {
		return parseInsert(l, s)
	}
	for t := l.next(); t.kind != tokenEnd; t = l.next() {
		if l.depth == 0 && t.is("format") {
			// A column may be called format; a wrong guess is no known
			// format, and the engine decides.
			if name := l.peek(); name.kind == tokenWord {
				s.format = name.text
			}
		}
	}
	return s
}

func parseInsert(l lexer, s statement) statement {
	t := l.next()
	if t.is("into") {
		t = l.next()
	}
	if t.is("table") || t.is("function") {
		l.next()
	}
	// The target may be named like a keyword: step over it.
	for l.peek().text == "." {
		l.next()
		l.next()
	}
	for t = l.next(); t.kind != tokenEnd; t = l.next() {
		if l.depth != 0 || t.kind != tokenWord {
			continue
		}
		switch {
		case t.is("select"), t.is("with"), t.is("from"), t.is("watch"):
			return s
		case t.is("values"):
			s.sql, s.format, s.data = s.sql[:t.pos], "Values", l.pos
			return s
		case t.is("format"):
			name := l.next()
			if name.kind != tokenWord {
				return s
			}
			s.format, s.data = name.text, dataStart(s.sql, l.pos)
			s.sql = s.sql[:t.pos]
			return s
		}
	}
	return s
}

// dataStart skips the blanks and one line end that separate FORMAT x from data.
func dataStart(sql string, i int) int {
	for i < len(sql) && strings.IndexByte(" \t\f", sql[i]) >= 0 {
		i++
	}
	if i < len(sql) && sql[i] == '\r' {
		i++
	}
	if i < len(sql) && sql[i] == '\n' {
		i++
	}
	return i
}

// streamable are the formats whose output is the outputs of its blocks one
// after the other: no header, footer or separator between them.
func streamable(format string) bool {
	switch format {
	case "Native", "RowBinary", "JSONEachRow", "JSONCompactEachRow", "JSONStringsEachRow", "JSONCompactStringsEachRow", "JSONLines", "NDJSON",
		"TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "LineAsString", "TSKV", "RawBLOB":
		return true
	}
	return false
}

// contentType is the media type of a format.
func contentType(format string) string {
	switch {
	case strings.HasPrefix(format, "JSON"), format == "NDJSON":
		return "application/json; charset=UTF-8"
	case strings.HasPrefix(format, "CSV"):
		return "text/csv; charset=UTF-8"
	case strings.HasPrefix(format, "TabSeparated"), strings.HasPrefix(format, "TSV"):
		return "text/tab-separated-values; charset=UTF-8"
	case format == "Native", strings.HasPrefix(format, "RowBinary"), format == "Parquet", format == "Arrow", format == "ArrowStream", format == "ORC", format == "RawBLOB":
		return "application/octet-stream"
	default:
		return "text/plain; charset=UTF-8"
	}
}
