package migrate

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// The tables of the other tools, told by a column besides their name.
func (f form) table() (name, column string) {
	switch f {
	case goose:
		return "goose_db_version", "is_applied"
	case golangMigrate:
		return "schema_migrations", "dirty"
	}
	return "", ""
}

// adopt marks the files that another tool has applied, while nothing of the source is in the ledger.
func (s *set) adopt(ctx context.Context, c *pgx.Conn) error {
	name, column := s.form.table()
	if name == "" {
		return nil
	}
	for _, f := range s.files {
		if !f.At.IsZero() {
			return nil
		}
	}
	if s.Adopt != "" {
		name = s.Adopt
	}
	var table *string
	if err := c.QueryRow(ctx, `select (select attrelid::regclass::text from pg_attribute where attrelid = to_regclass($1) and attname = $2)`,
		name, column).Scan(&table); err != nil {
		return fmt.Errorf("migrate: source %q: look for %s: %w", s.Name, name, err)
	}
	if table == nil {
		return nil // a new database, or somebody else's table of that name
	}
	versions, err := s.versions(ctx, c, *table)
	switch {
	case err != nil:
		return fmt.Errorf("migrate: source %q: %w", s.Name, err)
	case len(versions) == 0:
		return nil
	case s.Adopt == "":
		return fmt.Errorf("source %q, table %s: %w", s.Name, *table, ErrNotAdopted)
	}
	for _, f := range s.files {
		f.Adopted = versions[f.version]
		delete(versions, f.version)
	}
	for v := range versions {
		return &DriftError{Source: s.Name, Name: strconv.FormatUint(v, 10), Missing: true}
	}
	return nil
}

// versions returns what the tool has applied. goose keeps each version, and the last row of one decides; golang-migrate
// keeps the last version only, so that stands for all before it.
func (s *set) versions(ctx context.Context, c *pgx.Conn, table string) (map[uint64]bool, error) {
	all := map[uint64]bool{}
	if s.form == goose {
		rows, err := c.Query(ctx, `select version_id from (select distinct on (version_id) version_id, is_applied from `+table+
			` order by version_id, id desc) v where is_applied and version_id > 0`)
		if err != nil {
			return nil, err
		}
		var version int64
		_, err = pgx.ForEachRow(rows, []any{&version}, func() error { all[uint64(version)] = true; return nil })
		return all, err
	}
	rows, err := c.Query(ctx, `select version, dirty from `+table+` where version >= 0`)
	if err != nil {
		return nil, err
	}
	var version int64
	var dirty bool
	_, err = pgx.ForEachRow(rows, []any{&version, &dirty}, func() error {
		if dirty {
			return fmt.Errorf("%w (version %d)", ErrDirty, version)
		}
		all[uint64(version)] = true
		for _, f := range s.files {
			if f.version <= uint64(version) {
				all[f.version] = true
			}
		}
		return nil
	})
	return all, err
}

// enter writes the adopted files into the ledger, all at once.
func (s *set) enter(ctx context.Context, c *pgx.Conn) (entered []File, err error) {
	b := &pgx.Batch{}
	for _, f := range s.files {
		if f.Adopted && f.At.IsZero() {
			b.Queue(`insert into ashlar.migrations (source, name, checksum, adopted) values ($1, $2, $3, true) returning at`, f.Source, f.Name, f.checksum).
				QueryRow(func(row pgx.Row) error { return row.Scan(&f.At) })
		}
	}
	if b.Len() == 0 {
		return nil, nil
	}
	if err := c.SendBatch(ctx, b).Close(); err != nil { // one implicit transaction
		return nil, fmt.Errorf("migrate: source %q: adopt: %w", s.Name, err)
	}
	for _, f := range s.files {
		if f.Adopted {
			f.At = f.At.UTC()
			entered = append(entered, f.File)
		}
	}
	return entered, nil
}
