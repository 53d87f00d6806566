package migratetest

import (
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

func database(t *testing.T) *devstack.Database {
	t.Helper()
	all, err := devstack.TestDatabases()
	require.NoError(t, err)
	db, err := all.New(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { db.End(t) })
	return db
}

func ours(t *testing.T, db *devstack.Database, files fstest.MapFS, adopt string) ([]migrate.File, error) {
	return migrate.Up(t.Context(), db.Owner, []migrate.Source{{Name: "app", FS: files, Adopt: adopt}}, &migrate.Options{Logger: slog.New(slog.DiscardHandler)})
}

// dump describes what the files have made: columns, indexes, functions and the rows of the table log.
func dump(t *testing.T, db *devstack.Database) string {
	t.Helper()
	var out []string
	rows, err := db.Owner.Query(t.Context(), `
		select 'column ' || table_name || '.' || column_name || ' ' || data_type from information_schema.columns
		where table_schema = 'public' and table_name not in ('goose_db_version', 'schema_migrations')
		union all select 'index ' || indexdef from pg_indexes where schemaname = 'public' and tablename not in ('goose_db_version', 'schema_migrations')
		union all select 'function ' || proname || ' ' || prosrc from pg_proc where pronamespace = 'public'::regnamespace order by 1`)
	require.NoError(t, err)
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		out = append(out, s)
	}
	require.NoError(t, rows.Err())
	var log *string
	require.NoError(t, db.Owner.QueryRow(t.Context(), `select string_agg(what, ' ' order by id) from log`).Scan(&log))
	require.NotNil(t, log)
	return strings.Join(append(out, "log "+*log), "\n")
}

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
