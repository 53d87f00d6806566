package registry

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

const (
	maxManifest = 16 << 20
	maxRow      = 64 << 20 // one line; a row's values are at most 1 GB, but nobody keeps such rows
)

var (
	// ErrArchive reports an archive that is damaged, truncated, altered or, where a key is given, not signed with it; and one
	// with marks of outbox.Once where none is given.
	ErrArchive error = &refusal{"registry: archive is damaged, altered or not signed", http.StatusBadRequest, nil}

	// ErrArchiveVersion reports an archive of another format, or with tables or columns that this database has not.
	ErrArchiveVersion error = &refusal{"registry: archive does not fit this version or database", http.StatusConflict, nil}
)

// archive is an opened and verified archive.
type archive struct {
	zip      *zip.Reader
	manifest *Manifest
}

// openArchive reads the manifest and compares every file with it, before anything is believed.
func openArchive(r io.ReaderAt, size int64, key []byte) (*archive, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	a := &archive{zip: z, manifest: &Manifest{}}
	text, err := a.read(manifestFile)
	if err != nil {
		return nil, err
	}
	if len(key) > 0 {
		signature, err := a.read(signatureFile)
		if err != nil {
			return nil, err
		}
		if !hmac.Equal(signature, sign(key, text)) {
			return nil, fmt.Errorf("%w: the manifest's signature is not of this key", ErrArchive)
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(a.manifest); err != nil {
		return nil, fmt.Errorf("%w: manifest: %w", ErrArchive, err)
	}
	if a.manifest.Format != archiveFormat {
		return nil, fmt.Errorf("%w: format %d, want %d", ErrArchiveVersion, a.manifest.Format, archiveFormat)
	}
	names := map[string]bool{}
	for _, t := range a.manifest.Tables {
		if names[t.Name] || len(t.Columns) == 0 {
			return nil, fmt.Errorf("%w: table %q is there twice or has no columns", ErrArchive, t.Name)
		}
		names[t.Name] = true
		if err := a.check(t); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// read returns a small file.
func (a *archive) read(name string) ([]byte, error) {
	f, err := a.zip.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(text) > maxManifest {
		err = errors.New(name + " is too large")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return text, nil
}

// check reads a table's file to its end.
func (a *archive) check(t ManifestTable) error {
	return a.verified(t, func(file io.Reader) error {
		if _, err := io.Copy(io.Discard, file); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrArchive, t.Name, err)
		}
		return nil
	})
}

// verified has read take a table's file to its end, and compares what it took with the manifest: each time, because the
// archive may be rewritten between two reads. Reading no further than the manifest says keeps a zip bomb small.
func (a *archive) verified(t ManifestTable, read func(file io.Reader) error) error {
	f, err := a.zip.Open(t.File)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	defer f.Close()
	hash, count := sha256.New(), new(counter)
	if err := read(io.TeeReader(io.LimitReader(f, t.Bytes+1), io.MultiWriter(hash, count))); err != nil {
		return err
	}
	if int64(*count) != t.Bytes || hex.EncodeToString(hash.Sum(nil)) != t.SHA256 {
		return fmt.Errorf("%w: %s: bytes or hash differ", ErrArchive, t.Name)
	}
	return nil
}

// rows calls fn with each row of a table: its values in the order of the manifest's columns, nil for null.
// fn may keep them.
func (a *archive) rows(t ManifestTable, fn func(values []*string) error) error {
	return a.verified(t, func(file io.Reader) error { return parseRows(t, file, fn) })
}

func parseRows(t ManifestTable, file io.Reader, fn func(values []*string) error) error {
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxRow)
	var n int64
	for lines.Scan() {
		n++
		values, err := parseRow(lines.Bytes(), t.Columns)
		if err != nil {
			return fmt.Errorf("%w: %s line %d: %w", ErrArchive, t.Name, n, err)
		}
		if err := fn(values); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %s after line %d: %w", ErrArchive, t.Name, n, err)
	}
	if n != t.Rows {
		return fmt.Errorf("%w: %s has %d rows, the manifest says %d", ErrArchive, t.Name, n, t.Rows)
	}
	return nil
}

// parseRow reads one line: exactly the given columns, each a text or null. Errors hold no values.
func parseRow(line []byte, columns []ManifestColumn) ([]*string, error) {
	var row map[string]*string
	if err := json.Unmarshal(line, &row); err != nil {
		return nil, errors.New("not a JSON object of texts")
	}
	if len(row) != len(columns) {
		return nil, errors.New("not the columns of the manifest")
	}
	values := make([]*string, len(columns))
	for i, c := range columns {
		v, ok := row[c.Name]
		if !ok {
			return nil, fmt.Errorf("column %q is missing", c.Name)
		}
		values[i] = v
	}
	return values, nil
}
