package migrate

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"
)

// DriftError reports that an applied file is not what its source holds now. Nothing was applied.
type DriftError struct {
	Source, Name string
	Missing      bool // the file is gone; otherwise it was changed
}

// Error implements error.
func (e *DriftError) Error() string {
	what := "was changed after it had been applied"
	if e.Missing {
		what = "was applied but is not in its source any more"
	}
	return fmt.Sprintf("migrate: %s/%s %s; restore it and write a new file", e.Source, e.Name, what)
}

// ErrDirty reports that golang-migrate left its table marked dirty: a file of it failed half-way.
var ErrDirty = errors.New("migrate: golang-migrate has marked this database dirty; repair it and set dirty to false before adopting")

// ErrNotAdopted reports that goose or golang-migrate has migrated this database already.
var ErrNotAdopted = errors.New("migrate: another tool has applied files of this source; name its table in Source.Adopt to take over without running them again")

// failed wraps the error of a file; line is the one in the file, if PostgreSQL named a place in text behind skip bytes.
func (f *file) failed(err error, text string, skip int) error {
	at := f.path()
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Position > 0 {
		if n := offset(text, int(pgErr.Position)-1); n >= skip {
			at += fmt.Sprint(":", 1+strings.Count(text[skip:n], "\n"))
		}
	}
	return fmt.Errorf("migrate: %s: %w", at, err)
}

// offset returns where the nth character of a text begins: PostgreSQL counts characters, not bytes.
func offset(text string, n int) int {
	at := 0
	for ; n > 0 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// code returns the SQLSTATE of an error.
func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return ""
}
