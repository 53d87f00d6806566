package migrate

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/tenancy/internal/sqlsplit"
)

// Source is a named set of files: plain ones, those of goose, or those of golang-migrate. Which they are is told by their
// names and annotations; a source that mixes them is refused.
type Source struct {
	Name string // identifies the source for ever; two sources of one call have different names
	FS   fs.FS  // its root holds the files

	// Adopt is the table in which goose ("goose_db_version") or golang-migrate ("schema_migrations") noted what it has
	// applied. As long as nothing of the source is in the ledger, those files are entered there without being run. Empty
	// means that there is none; a table under its usual name is an error then, since its files would be run twice.
	Adopt string
}

// File is one migration.
type File struct {
	Source  string
	Name    string
	At      time.Time // when it was applied or adopted, UTC; zero means that it is pending
	Adopted bool      // another tool has applied it; together with a zero At: Up will enter it into the ledger
}

func (f File) path() string { return f.Source + "/" + f.Name }

// FormatError reports a file that cannot be read as a migration. Nothing was applied.
type FormatError struct {
	Source, Name string
	Line         int // zero for the file as a whole
	Problem      string
}

// Error implements error.
func (e *FormatError) Error() string {
	at := e.Source + "/" + e.Name
	if e.Line > 0 {
		at += fmt.Sprint(":", e.Line)
	}
	return "migrate: " + at + ": " + e.Problem
}

// form is how the files of a source are written.
type form int

const (
	plain form = iota
	goose
	golangMigrate
)

// file is a File with what it does.
type file struct {
	File
	form     form
	version  uint64 // of goose and golang-migrate
	checksum string // of the text that is run, or of the whole plain file
	text     string // what is run, on its lines in the file
	noTx     bool
	pieces   []sqlsplit.Statement // of a file without transaction: sent one by one
}

// set is what a source holds.
type set struct {
	Source
	form  form
	files []*file
}

func read(sources []Source) ([]*set, error) {
	var sets []*set
	seen := map[string]bool{}
	for _, s := range sources {
		if s.Name == "" || s.FS == nil || seen[s.Name] {
			return nil, fmt.Errorf("migrate: source %q has no name or no FS, or is given twice", s.Name)
		}
		seen[s.Name] = true
		one, err := s.read()
		if err != nil {
			return nil, err
		}
		sets = append(sets, one)
	}
	return sets, nil
}

func (s Source) read() (*set, error) {
	entries, err := fs.ReadDir(s.FS, ".") // sorted
	if err != nil {
		return nil, fmt.Errorf("migrate: source %q: %w", s.Name, err)
	}
	var names []string
	texts := map[string]string{}
	out := &set{Source: s}
	for _, e := range entries {
		name := e.Name()
		_, _, ofMigrate := migrateName(name)
		if e.IsDir() || !ofMigrate && !strings.HasSuffix(name, ".sql") && !strings.HasSuffix(name, ".go") {
			continue
		}
		b, err := fs.ReadFile(s.FS, name)
		if err != nil {
			return nil, fmt.Errorf("migrate: source %q: %w", s.Name, err)
		}
		names = append(names, name)
		texts[name] = strings.ReplaceAll(string(b), "\r\n", "\n") // a checkout on Windows is not a change
		switch {
		case ofMigrate:
			out.form = golangMigrate
		case strings.HasSuffix(name, ".sql") && annotated(texts[name]) && out.form == plain:
			out.form = goose
		}
	}
	switch out.form {
	case goose:
		out.files, err = s.readGoose(names, texts)
	case golangMigrate:
		out.files, err = s.readMigrate(names, texts)
	default:
		out.files = s.readPlain(names, texts)
	}
	switch {
	case err != nil:
		return nil, err
	case len(out.files) == 0:
		return nil, fmt.Errorf("migrate: source %q has no *.sql file at its root; fs.Sub may be missing", s.Name)
	case s.Adopt != "" && out.form == plain:
		return nil, fmt.Errorf("migrate: source %q: Adopt needs files of goose or golang-migrate", s.Name)
	}
	return out, nil
}

func (s Source) readPlain(names []string, texts map[string]string) (files []*file) {
	for _, name := range names {
		if !strings.HasSuffix(name, ".sql") {
			continue
		}
		f := &file{File: File{Source: s.Name, Name: name}, text: texts[name], checksum: sum(texts[name])}
		if f.noTx = withoutTx(f.text); f.noTx {
			f.pieces = sqlsplit.Split(f.text)
		}
		files = append(files, f)
	}
	return files
}

// withoutTx tells whether the first line says so.
func withoutTx(text string) bool {
	first, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(first) == "-- no-transaction"
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}
