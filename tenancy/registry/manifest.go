package registry

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"time"
)

// archiveFormat is the version of what Export writes. A change that an older Import would misread raises it.
const archiveFormat = 1

const (
	manifestFile  = "manifest.json"
	signatureFile = "manifest.hmac"
)

// Manifest says what an archive of one tenant holds. Export returns it and writes it as the archive's manifest.json.
type Manifest struct {
	Format int             // version of the archive's layout
	Tenant string          // whose rows they are
	At     time.Time       // when the snapshot was taken, by PostgreSQL's clock, UTC
	Server string          // version of PostgreSQL
	Tables []ManifestTable // in an order in which foreign keys point backwards, as far as cycles allow
	Left   []LeftOut       // what the catalogue has and the archive has not
}

// ManifestTable describes one file of an archive: one JSON object per line and row, values as PostgreSQL's text or null.
type ManifestTable struct {
	Name    string           // schema.table
	File    string           // name in the archive
	Tenant  string           // the tenant column; it is not in the rows
	Columns []ManifestColumn // in the table's order
	Rows    int64
	Bytes   int64
	SHA256  string // of the uncompressed file, hexadecimal
}

// ManifestColumn is a column of an exported table.
type ManifestColumn struct{ Name, Type string }

// LeftOut is a table, or a column ("schema.table.column"), that an archive or a purge has not taken, and why.
type LeftOut struct{ Name, Why string }

// encode returns the manifest's text and, if there is a key, its signature.
func (m *Manifest) encode(key []byte) (text, signature []byte, err error) {
	if text, err = json.MarshalIndent(m, "", "  "); err != nil {
		return nil, nil, err
	}
	if len(key) > 0 {
		signature = sign(key, text)
	}
	return text, signature, nil
}

// sign returns the HMAC-SHA256 of a manifest in hexadecimal.
func sign(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return hex.AppendEncode(nil, mac.Sum(nil))
}

// fileOf names a table's file; a table may have any name.
func fileOf(table string) string { return "tables/" + url.PathEscape(table) + ".ndjson" }
