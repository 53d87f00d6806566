package registry

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ashlar-go/ashlar/tenancy"
)

// ExportOptions configures Export. Nil and the zero value mean the defaults.
type ExportOptions struct {
	// Skip lists tables ("schema.table") and columns ("schema.table.column") to leave out, besides those that always are.
	// A name that does not exist is an error. Nil means none.
	Skip []string

	// Marks takes along what outbox.Once has marked as done. It is for a tenant that moves: a job that was delivered before may
	// run again at the new place. False leaves the marks out, as is right for a copy. Import takes them from a signed archive only.
	Marks bool

	// Key signs the manifest with HMAC-SHA256, so that Import can tell your archives from forged ones.
	// Empty means unsigned; the hashes then only find damage.
	Key []byte
}

// archiveSettings make the text of values independent of the session; they end with the transaction.
const archiveSettings = `select set_config('datestyle', 'ISO, YMD', true), set_config('intervalstyle', 'postgres', true),
	set_config('timezone', 'UTC', true), set_config('bytea_output', 'hex', true), set_config('extra_float_digits', '1', true)`

// Export writes all rows of the tenant of ctx to w as a zip archive: one file per table, found in the catalogue, and a
// manifest with columns, counts and hashes. All of it is one snapshot, taken in a read-only transaction that row-level
// security binds to the tenant. Rows are streamed, so memory stays small; the transaction lasts as long as w takes.
//
// Always left out, and listed in Manifest.Left: the outbox (an imported event would be delivered twice), the inbox (see
// ExportOptions.Marks), credentials (API keys, invitations, impersonations), names and custom domains (they belong to this
// database), tables and columns that the app role may not read. Generated columns are computed anew.
//
// The actor of ctx needs the permission tenant.export, whatever System says, and acts for nobody else, or ctx is Trusted;
// else the error is ErrForbidden. Who exports is known before w gets its first byte: the event tenant.exported and its
// audit entry are committed by then, and stay if the export fails. So Export refuses to run inside of a unit, which could
// take them back.
//
// Export works on PostgreSQL only. After an error w holds a truncated archive, which Import refuses.
// Errors: tenancy.ErrNoTenant, ErrForbidden, ErrUnknownTenant, a *StateError for a tenant that is deleted, those of w and
// of PostgreSQL.
func (r *Registry) Export(ctx context.Context, w io.Writer, opts *ExportOptions) (*Manifest, error) {
	var o ExportOptions
	if opts != nil {
		o = *opts
	}
	id, ok := tenancy.IDFrom(ctx)
	if !ok {
		return nil, tenancy.ErrNoTenant
	}
	ctx = tenancy.WithID(ctx, id) // ends a system role: the policy shall hold here
	if err := r.announce(ctx, &o); err != nil {
		return nil, fmt.Errorf("registry: export: %w", err)
	}
	var m *Manifest
	begun := false
	db := r.db.With(&tenancy.TxOptions{Isolation: pgx.RepeatableRead, ReadOnly: true, Eager: true})
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		if begun { // a second attempt cannot take back what w has
			return errors.New("connection lost")
		}
		begun = true
		e := &exporter{tx: tx, zip: zip.NewWriter(w)}
		var err error
		m, err = e.run(ctx, &o)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("registry: export: %w", err)
	}
	return m, nil
}

// announce asks whether the actor may export, and records that it does.
func (r *Registry) announce(ctx context.Context, o *ExportOptions) error {
	if _, open := tenancy.TxFrom(ctx); open {
		return errors.New("inside of a unit of work, which could take its record back")
	}
	return r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		t, err := r.locked(ctx, tx) // a purge counts either before or after
		if err == nil && t.State == Deleted {
			err = t.Check(false)
		}
		if err == nil {
			_, err = r.granterOf(ctx, tx, tenantExport)
		}
		if err == nil {
			changed(tx, Event{Type: "tenant.exported"}, nil, fields{"skip": o.Skip, "signed": len(o.Key) > 0})
		}
		return err
	})
}

type exporter struct {
	tx  *tenancy.Tx
	zip *zip.Writer
}

func (e *exporter) run(ctx context.Context, o *ExportOptions) (*Manifest, error) {
	if _, err := e.tx.Exec(ctx, archiveSettings); err != nil {
		return nil, err
	}
	m := &Manifest{Format: archiveFormat, Tenant: e.tx.ID(), Tables: []ManifestTable{}}
	var at time.Time
	if err := e.tx.QueryRow(ctx, `select now(), current_setting('server_version')`).Scan(&at, &m.Server); err != nil {
		return nil, err
	}
	m.At = at.UTC()
	tables, err := catalogue(ctx, e.tx)
	if err != nil {
		return nil, err
	}
	if err := known(tables, o.Skip); err != nil {
		return nil, err
	}
	for _, t := range tables {
		columns, left := exported(t, o)
		m.Left = append(m.Left, left...)
		if len(columns) == 0 {
			continue
		}
		mt, err := e.table(ctx, t, columns)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		m.Tables = append(m.Tables, mt)
	}
	text, signature, err := m.encode(o.Key)
	if err != nil {
		return nil, err
	}
	if err := e.file(manifestFile, text); err != nil {
		return nil, err
	}
	if signature != nil {
		if err := e.file(signatureFile, signature); err != nil {
			return nil, err
		}
	}
	return m, e.zip.Close()
}

// table streams one table into the archive.
func (e *exporter) table(ctx context.Context, t *table, columns []column) (ManifestTable, error) {
	mt := ManifestTable{Name: t.Name, File: fileOf(t.Name), Tenant: t.Tenant}
	for _, c := range columns {
		mt.Columns = append(mt.Columns, ManifestColumn{c.Name, c.Type})
	}
	f, err := e.zip.Create(mt.File)
	if err != nil {
		return mt, err
	}
	hash, count := sha256.New(), new(counter)
	out := io.MultiWriter(f, hash, count)
	tag, err := e.tx.Conn().PgConn().CopyTo(ctx, out, copySQL(t, columns))
	if err != nil {
		return mt, err
	}
	mt.Rows, mt.Bytes, mt.SHA256 = tag.RowsAffected(), int64(*count), hex.EncodeToString(hash.Sum(nil))
	return mt, nil
}

func (e *exporter) file(name string, text []byte) error {
	f, err := e.zip.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(text))
	return err
}

// copySQL selects the tenant's rows as JSON. The predicate says what the policy enforces, so that the planner knows it too.
// In JSON, control characters are escaped, so with two of them as quote and delimiter CSV adds nothing to a line.
func copySQL(t *table, columns []column) string {
	var list []string
	for _, c := range columns {
		list = append(list, "t."+quote(c.Name)+"::text as "+quote(c.Name))
	}
	order := ""
	if key := t.primary(); key != nil {
		order = " order by t." + strings.Join(quoted(key), ", t.")
	}
	return fmt.Sprintf(`copy (select row_to_json("exported row") from (select %s from %s t where t.%s = (select tenancy.tenant_id()::%s)%s) "exported row") `+
		`to stdout (format csv, quote e'\x01', delimiter e'\x02')`,
		strings.Join(list, ", "), t.from(), quote(t.Tenant), t.tenantType(), order)
}

// exported returns the columns of t that an archive holds, the tenant column not among them, and what is left out.
func exported(t *table, o *ExportOptions) (columns []column, left []LeftOut) {
	why := ruleOf(t.Name).export
	if o.Marks && ruleOf(t.Name).marks {
		why = ""
	}
	switch {
	case why != "":
	case slices.Contains(o.Skip, t.Name):
		why = "skipped"
	case t.Standing == systemOnly:
		why = "not readable by the app role"
	case t.Standing == open:
		why = "has a tenant column but no row-level security by tenancy.tenant_id(): whose rows they are is not certain"
	case t.Standing != protected:
		why = "not a table"
	}
	if why != "" {
		return nil, []LeftOut{{t.Name, why}}
	}
	for _, c := range t.Columns {
		name := t.Name + "." + c.Name
		switch {
		case c.Name == t.Tenant, c.Generated:
		case slices.Contains(o.Skip, name):
			left = append(left, LeftOut{name, "skipped"})
		case !c.Readable:
			left = append(left, LeftOut{name, "not readable by the app role"})
		default:
			columns = append(columns, c)
		}
	}
	if len(columns) == 0 {
		return nil, []LeftOut{{t.Name, "no column left to export"}}
	}
	return columns, left
}

// known refuses names that are no table or column, which a misspelt secret would be.
func known(tables []*table, names []string) error {
	for _, name := range names {
		found := slices.ContainsFunc(tables, func(t *table) bool {
			column, isColumn := strings.CutPrefix(name, t.Name+".")
			return name == t.Name || isColumn && t.column(column) != nil
		})
		if !found {
			return fmt.Errorf("option Skip names %q, which is no table or column with rows of tenants", name)
		}
	}
	return nil
}

// counter counts bytes.
type counter int64

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
