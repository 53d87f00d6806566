package migratetest

import (
	"database/sql"
	"errors"
	"testing"
	"testing/fstest"

	gomigrate "github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

func migrateFiles() fstest.MapFS {
	return fstest.MapFS{
		"1_log.up.sql":                  text("BEGIN;\ncreate table log (id int generated always as identity, what text);\ninsert into log (what) values ('one');\nCOMMIT;\n"),
		"1_log.down.sql":                text("drop table log;"),
		"9_index.up.sql":                text("-- alone, so it needs no transaction\ncreate index concurrently log_what on log (what);"),
		"10_ten.up.sql":                 text("insert into log (what) values ('ten'); insert into log (what) values ('ten and a half')"),
		"10_ten.down.sql":               text("delete from log where what like 'ten%'"),
		"20260101120000_f.up.sql":       text("start transaction;\ncreate function f() returns int language sql begin atomic select 1; select 2; end;\ninsert into log (what) select 'f ' || f();\ncommit transaction;"),
		"20260101120001_nothing.up.sql": text(""),
		"readme.md":                     text("no migration"),
	}
}

func tool(t *testing.T, db *devstack.Database, files fstest.MapFS) *gomigrate.Migrate {
	source, err := iofs.New(files, ".")
	require.NoError(t, err)
	std := sql.OpenDB(stdlib.GetPoolConnector(db.Owner))
	t.Cleanup(func() { std.Close() })
	driver, err := pgx.WithInstance(std, &pgx.Config{})
	require.NoError(t, err)
	m, err := gomigrate.NewWithInstance("iofs", source, "pgx", driver)
	require.NoError(t, err)
	t.Cleanup(func() {
		sourceErr, dbErr := m.Close()
		require.NoError(t, errors.Join(sourceErr, dbErr))
	})
	return m
}

func TestGolangMigrateDoesTheSame(t *testing.T) {
	t.Parallel()
	theirs, mine, half := database(t), database(t), database(t)
	require.NoError(t, tool(t, theirs, migrateFiles()).Up())
	applied, err := ours(t, mine, migrateFiles(), "")
	require.NoError(t, err)
	require.Len(t, applied, 5)
	want := dump(t, theirs)
	require.Equal(t, want, dump(t, mine))

	_, err = ours(t, theirs, migrateFiles(), "")
	require.ErrorIs(t, err, migrate.ErrNotAdopted)
	applied, err = ours(t, theirs, migrateFiles(), "schema_migrations")
	require.NoError(t, err)
	for _, f := range applied {
		require.True(t, f.Adopted, f.Name)
	}
	require.Equal(t, want, dump(t, theirs))

	require.NoError(t, tool(t, half, migrateFiles()).Steps(2))
	applied, err = ours(t, half, migrateFiles(), "schema_migrations")
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, false, false, false}, []bool{
		applied[0].Adopted, applied[1].Adopted, applied[2].Adopted, applied[3].Adopted, applied[4].Adopted,
	})
	require.Equal(t, want, dump(t, half))
}

// TestDirtyDatabaseIsNotAdopted: golang-migrate has failed half-way, and says so in its table.
func TestDirtyDatabaseIsNotAdopted(t *testing.T) {
	t.Parallel()
	db, files := database(t), migrateFiles()
	files["11_bad.up.sql"] = text("select 1/0")
	require.Error(t, tool(t, db, files).Up())
	_, err := ours(t, db, files, "schema_migrations")
	require.ErrorIs(t, err, migrate.ErrDirty)
	require.ErrorContains(t, err, "version 11")
}
