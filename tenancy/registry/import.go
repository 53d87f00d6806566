package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ashlar-go/ashlar/tenancy"
)

// ErrNotEmpty reports an import into a tenant that has rows already.
var ErrNotEmpty error = &refusal{"registry: tenant has rows already; import into a new one", http.StatusConflict, nil}

// ErrCollision reports imported ids, or other values that are unique in the whole database, that another tenant has.
// With ImportOptions.Remap ids get new values.
var ErrCollision error = &refusal{"registry: a value of the archive is taken in this database", http.StatusConflict, nil}

// ImportOptions configures Import. Nil and the zero value mean the defaults.
type ImportOptions struct {
	// Key is the one that Export signed with; an archive without its signature is refused.
	// Empty means that any archive is taken whose hashes are right, but for one with marks (ExportOptions.Marks): whoever forges
	// those makes consumers pass over events. Sign it, or name tenancy.inbox in Skip.
	Key []byte

	// Skip lists tables ("schema.table") of the archive that are not imported. Nil means none.
	Skip []string

	// Remap gives new ids to rows whose ids must be unique in the whole database, as they are not when the exported
	// tenant still lives in it: UUIDs in unique keys without the tenant column, and in foreign keys on those. Texts
	// that mention an id elsewhere keep the old one. False keeps all ids.
	Remap bool
}

const (
	batchRows  = 1000
	batchBytes = 1 << 20
)

// Import writes an archive of Export into the tenant of ctx, whose id may be another than the exported one: every row
// gets the id of ctx. The manifest, its signature and all hashes are checked before the database is touched, the
// hashes again while rows are read, so the archive may lie where others write; then everything happens in one unit of work, so
// that a failed import leaves nothing behind and can be run again.
// Rows are streamed in batches. The tenant exists, e.g. just made by Create; its members, settings and quotas are replaced
// by those of the archive, and the other tables must have no rows of it. It keeps its own id, slug, name, plan and state,
// and entries of the audit log are not imported.
//
// Ids are kept (see ImportOptions.Remap), sequences are moved past imported numbers, triggers fire, the only event
// is tenant.imported. Foreign keys within a table or in a cycle must be deferrable or nullable. The manifest that Import returns lists
// what was imported, and in Left what was not.
//
// Import works on PostgreSQL only and needs Options.System of the DB; the reason is written to the log.
// Errors: tenancy.ErrNoTenant, ErrArchive, ErrArchiveVersion, ErrNotEmpty, ErrCollision, those of PostgreSQL.
func (r *Registry) Import(ctx context.Context, archive io.ReaderAt, size int64, opts *ImportOptions) (*Manifest, error) {
	var o ImportOptions
	if opts != nil {
		o = *opts
	}
	id, ok := tenancy.IDFrom(ctx)
	if !ok {
		return nil, tenancy.ErrNoTenant
	}
	a, err := openArchive(archive, size, o.Key)
	if err != nil {
		return nil, err
	}
	ctx = tenancy.System(ctx, "import of tenant "+id)
	err = r.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		i := &importer{tx: tx, archive: a, opts: &o}
		return i.run(ctx)
	})
	var answer *pgconn.PgError
	if errors.As(err, &answer) && answer.Code == "23505" {
		return nil, fmt.Errorf("%w: constraint %s: %w", ErrCollision, answer.ConstraintName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("registry: import: %w", err)
	}
	return imported(a.manifest, o.Skip), nil
}

// imported returns a manifest of what was imported only.
func imported(m *Manifest, skip []string) *Manifest {
	did := *m
	did.Tables = nil
	for _, t := range m.Tables {
		switch why := ruleOf(t.Name).load; {
		case why != "":
			did.Left = append(did.Left, LeftOut{t.Name, why})
		case slices.Contains(skip, t.Name):
			did.Left = append(did.Left, LeftOut{t.Name, "skipped"})
		default:
			did.Tables = append(did.Tables, t)
		}
	}
	return &did
}

type importer struct {
	tx      *tenancy.Tx
	archive *archive
	opts    *ImportOptions
	tables  []*table
	remap   remapping
}

// target is a table of the archive together with the table of this database.
type target struct {
	*table
	file ManifestTable
	late []string // columns that are filled when all rows are there
}

func (i *importer) run(ctx context.Context) error {
	if _, err := i.tx.Exec(ctx, archiveSettings); err != nil {
		return err
	}
	var err error
	if i.tables, err = catalogue(ctx, i.tx); err != nil {
		return err
	}
	targets, err := i.targets()
	if err != nil {
		return err
	}
	if i.opts.Remap {
		i.remap = newRemapping(i.tables, i.archive.manifest.Tenant, i.tx.ID())
	}
	if err := i.empty(ctx, targets); err != nil {
		return err
	}
	i.tx.Defer(`set constraints all deferred`)
	for _, t := range targets {
		if err := i.insert(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	for _, t := range targets {
		if err := i.fillLate(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		i.advance(t)
	}
	i.tx.Defer(countOwnersSQL, i.tx.ID(), Owner)
	changed(i.tx, Event{Type: "tenant.imported"}, nil, fields{"from": i.archive.manifest.Tenant, "at": i.archive.manifest.At})
	return nil
}

const countOwnersSQL = `update registry.tenants set version = version + 1,
	owners = (select count(*) from registry.members where tenant_id = $1 and role = $2) where id = $1`

// targets matches the archive with the catalogue, in the order in which rows can be written.
func (i *importer) targets() ([]*target, error) {
	files := map[string]ManifestTable{}
	for _, f := range i.archive.manifest.Tables {
		if !slices.Contains(i.opts.Skip, f.Name) {
			files[f.Name] = f
		}
	}
	for _, name := range i.opts.Skip {
		if !slices.ContainsFunc(i.archive.manifest.Tables, func(f ManifestTable) bool { return f.Name == name }) {
			return nil, fmt.Errorf("option Skip names %q, which the archive has not", name)
		}
	}
	var targets []*target
	for at, t := range i.tables {
		f, ok := files[t.Name]
		delete(files, t.Name)
		if !ok || ruleOf(t.Name).load != "" {
			continue
		}
		// Of tables that are never exported only a forged archive has rows: hosts without proof, keys that somebody knows.
		if r := ruleOf(t.Name); t.Standing != protected || r.export != "" && !r.marks {
			return nil, fmt.Errorf("%w: table %s is not protected here, or never part of an archive", ErrArchiveVersion, t.Name)
		}
		if ruleOf(t.Name).marks && len(i.opts.Key) == 0 {
			return nil, fmt.Errorf("%w: it has marks of outbox.Once, which could be forged: sign it and give ImportOptions.Key, or name %s in ImportOptions.Skip", ErrArchive, t.Name)
		}
		for _, c := range f.Columns {
			switch own := t.column(c.Name); {
			case own == nil || own.Generated || c.Name == t.Tenant:
				return nil, fmt.Errorf("%w: table %s has no column %s to fill", ErrArchiveVersion, t.Name, c.Name)
			case own.Type != c.Type:
				return nil, fmt.Errorf("%w: column %s.%s is %s, the archive's is %s", ErrArchiveVersion, t.Name, c.Name, own.Type, c.Type)
			}
		}
		tg := &target{table: t, file: f}
		for _, k := range late(i.tables, at) {
			if k.Deferrable {
				continue
			}
			names := t.nullable(k)
			if len(names) == 0 {
				return nil, fmt.Errorf("%w: foreign key %s of %s is part of a cycle; make it deferrable or nullable", ErrArchiveVersion, k.Name, t.Name)
			}
			tg.late = append(tg.late, names...)
		}
		targets = append(targets, tg)
	}
	for name := range files {
		return nil, fmt.Errorf("%w: there is no table %s with rows of tenants", ErrArchiveVersion, name)
	}
	return targets, nil
}

// empty refuses a tenant that has rows where rows would come.
func (i *importer) empty(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		if ruleOf(t.Name).replace {
			i.tx.Defer(fmt.Sprintf(`delete from %s where %s = $1::text::%s`, t.from(), quote(t.Tenant), t.tenantType()), i.tx.ID())
			continue
		}
		var some bool
		err := i.tx.QueryRow(ctx, fmt.Sprintf(`select exists (select from %s where %s = $1::text::%s)`,
			t.from(), quote(t.Tenant), t.tenantType()), i.tx.ID()).Scan(&some)
		if err != nil {
			return err
		}
		if some {
			return fmt.Errorf("%w: table %s", ErrNotEmpty, t.Name)
		}
	}
	return nil
}

// insert writes the rows of one table, late columns as null.
func (i *importer) insert(ctx context.Context, t *target) error {
	var names, values []string
	for n, c := range t.file.Columns {
		if slices.Contains(t.late, c.Name) {
			continue
		}
		names = append(names, quote(c.Name))
		values = append(values, "r.c"+strconv.Itoa(n)+"::"+c.Type)
	}
	sql := fmt.Sprintf(`insert into %s (%s) overriding system value select %s from %s`, t.SQL,
		strings.Join(append([]string{quote(t.Tenant)}, names...), ", "),
		strings.Join(append([]string{"$1::text::" + t.tenantType()}, values...), ", "), unnest(len(t.file.Columns), 2))
	return i.batches(t, func(columns []any, rows int) error {
		tag, err := i.tx.Exec(ctx, sql, append([]any{i.tx.ID()}, columns...)...)
		if err == nil && tag.RowsAffected() != int64(rows) {
			err = fmt.Errorf("%d of %d rows were written; a trigger or rule of the table takes them away", tag.RowsAffected(), rows)
		}
		return err
	})
}

// fillLate sets the columns that refer to rows that were not there yet.
func (i *importer) fillLate(ctx context.Context, t *target) error {
	if len(t.late) == 0 {
		return nil
	}
	key := slices.DeleteFunc(slices.Clone(t.primary()), func(name string) bool { return name == t.Tenant })
	if len(key) == 0 {
		return fmt.Errorf("%w: without a primary key the rows of a cycle cannot be found again", ErrArchiveVersion)
	}
	var set, where []string
	for n, c := range t.file.Columns {
		value := "r.c" + strconv.Itoa(n) + "::" + c.Type
		if slices.Contains(t.late, c.Name) {
			set = append(set, quote(c.Name)+" = "+value)
		}
		if slices.Contains(key, c.Name) {
			where = append(where, "t."+quote(c.Name)+" = "+value)
		}
	}
	if len(where) != len(key) {
		return fmt.Errorf("%w: the archive has not all columns of the primary key", ErrArchiveVersion)
	}
	sql := fmt.Sprintf(`update %s t set %s from %s where t.%s = $1::text::%s and %s`, t.from(), strings.Join(set, ", "),
		unnest(len(t.file.Columns), 2), quote(t.Tenant), t.tenantType(), strings.Join(where, " and "))
	return i.batches(t, func(columns []any, _ int) error {
		_, err := i.tx.Exec(ctx, sql, append([]any{i.tx.ID()}, columns...)...)
		return err
	})
}

// batches reads a table's file and calls fn with its values column by column.
func (i *importer) batches(t *target, fn func(columns []any, rows int) error) error {
	width := len(t.file.Columns)
	columns := make([][]*string, width)
	rows, size := 0, 0
	flush := func() error {
		if rows == 0 {
			return nil
		}
		args := make([]any, width)
		for n := range columns {
			args[n] = columns[n]
		}
		err := fn(args, rows)
		columns, rows, size = make([][]*string, width), 0, 0
		return err
	}
	err := i.archive.rows(t.file, func(values []*string) error {
		for n, v := range values {
			v = i.remap.value(t.Name, t.file.Columns[n].Name, v)
			if v != nil {
				size += len(*v)
			}
			columns[n] = append(columns[n], v)
		}
		if rows++; rows < batchRows && size < batchBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

// advance moves the table's sequences past the imported numbers, with COMMIT.
func (i *importer) advance(t *target) {
	for _, c := range t.file.Columns {
		if t.column(c.Name).Numbered {
			i.tx.Defer(fmt.Sprintf(`select registry.advance_sequence($1, $2, (select max(%s) from %s where %s = $3::text::%s))`,
				quote(c.Name), t.from(), quote(t.Tenant), t.tenantType()), t.SQL, c.Name, i.tx.ID())
		}
	}
}

// unnest names n columns of texts, c0 and so on, given as arrays from parameter first on.
func unnest(n, first int) string {
	var params, names []string
	for i := range n {
		params = append(params, "$"+strconv.Itoa(first+i)+"::text[]")
		names = append(names, "c"+strconv.Itoa(i))
	}
	return "unnest(" + strings.Join(params, ", ") + ") as r(" + strings.Join(names, ", ") + ")"
}
