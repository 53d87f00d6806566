package migrate

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

var migratePattern = regexp.MustCompile(`^([0-9]+)_.*\.(up|down)\..*$`)

// migrateName reads a file name of golang-migrate.
func migrateName(name string) (version uint64, up, ok bool) {
	m := migratePattern.FindStringSubmatch(name)
	if m == nil {
		return 0, false, false
	}
	version, err := strconv.ParseUint(m[1], 10, 64)
	return version, m[2] == "up", err == nil
}

// readMigrate reads files of golang-migrate: NNN_name.up.sql in the order of their numbers; the down files are only checked.
func (s Source) readMigrate(names []string, texts map[string]string) (files []*file, err error) {
	downs := map[uint64]string{}
	for _, name := range names {
		fail := func(problem string) error { return &FormatError{Source: s.Name, Name: name, Problem: problem} }
		version, up, ok := migrateName(name)
		switch {
		case !ok && strings.HasSuffix(name, ".go"):
			continue
		case !ok:
			return nil, fail("is not named NNN_name.up.sql or NNN_name.down.sql, as other files of this source are")
		case annotated(texts[name]):
			return nil, fail("has the name of a golang-migrate file and the annotations of a goose file")
		case !up && downs[version] != "":
			return nil, fail("has the number of " + downs[version])
		case !up:
			downs[version] = name
			continue
		}
		f := &file{File: File{Source: s.Name, Name: name}, form: golangMigrate, version: version, text: texts[name], checksum: sum(texts[name])}
		statements := sqlsplit.Split(f.text)
		if f.noTx = withoutTx(f.text); f.noTx {
			f.pieces = statements
		} else {
			f.text = withoutOwnTx(f.text, statements)
		}
		files = append(files, f)
	}
	if files, err = inOrder(files); err != nil {
		return nil, err
	}
	for _, f := range files {
		delete(downs, f.version)
	}
	for _, name := range downs {
		return nil, &FormatError{Source: s.Name, Name: name, Problem: "has no up file"}
	}
	return files, nil
}

// withoutOwnTx blanks a BEGIN at the start and the COMMIT at the end: golang-migrate runs files without a transaction, so
// they bring their own; here it is the one that also holds the note.
func withoutOwnTx(text string, statements []sqlsplit.Statement) string {
	if len(statements) < 2 {
		return text
	}
	first, last := statements[0], statements[len(statements)-1]
	switch strings.Join(sqlsplit.Words(first.Text, 3), " ") {
	case "begin", "begin work", "begin transaction", "start transaction":
	default:
		return text
	}
	switch strings.Join(sqlsplit.Words(last.Text, 3), " ") {
	case "commit", "end", "commit work", "commit transaction", "end work", "end transaction":
	default:
		return text
	}
	blank := func(text string, s sqlsplit.Statement) string {
		return text[:s.At] + strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, s.Text) + text[s.At+len(s.Text):]
	}
	return blank(blank(text, last), first)
}
