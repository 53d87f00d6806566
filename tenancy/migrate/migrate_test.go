package migrate_test

import (
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

func text(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }

func names(files []migrate.File) (list []string) {
	for _, f := range files {
		list = append(list, f.Source+"/"+f.Name)
	}
	return list
}

func TestUpAppliesEachFileOnce(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{
		"0001_notes.sql": text("create table notes (tenant_id text not null, body text not null);\nselect tenancy.protect('notes');\n"),
		"0002_index.sql": text("-- no-transaction\ncreate index concurrently if not exists notes_body on notes (body);\n"),
		"README.md":      text("not a migration"),
	}
	sources := []migrate.Source{{Name: "tenancy", FS: tenancy.Migrations}, {Name: "app", FS: app}}

	pending, err := migrate.Status(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)
	require.Greater(t, len(pending), 3)
	require.Zero(t, pending[3].At)

	applied, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)
	require.Equal(t, names(pending), names(applied))
	require.Equal(t, []string{"app/0001_notes.sql", "app/0002_index.sql"}, names(applied[len(applied)-2:]))
	require.NotZero(t, applied[3].At)

	applied, err = migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)
	require.Empty(t, applied)

	app["0003_more.sql"] = text("alter table notes add column title text")
	applied, err = migrate.Up(t.Context(), pg.Owner, sources[1:], nil) // other sources in the ledger are left alone
	require.NoError(t, err)
	require.Equal(t, []string{"app/0003_more.sql"}, names(applied))
}

func TestDriftStopsBeforeAnythingIsApplied(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{"1.sql": text("create table a (id int);\r\n"), "2.sql": text("create table b (id int)")}
	sources := []migrate.Source{{Name: "app", FS: app}}
	_, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)

	app["1.sql"] = text("create table a (id int);\n") // only the line end
	_, err = migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)

	app["1.sql"], app["3.sql"] = text("create table a (id bigint);\n"), text("create table c (id int)")
	_, err = migrate.Up(t.Context(), pg.Owner, sources, nil)
	var drift *migrate.DriftError
	require.ErrorAs(t, err, &drift)
	require.Equal(t, migrate.DriftError{Source: "app", Name: "1.sql"}, *drift)
	_, err = migrate.Status(t.Context(), pg.Owner, sources, nil)
	require.ErrorAs(t, err, &drift)

	delete(app, "1.sql")
	_, err = migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.ErrorAs(t, err, &drift)
	require.True(t, drift.Missing)

	var exists bool
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select to_regclass('c') is not null`).Scan(&exists))
	require.False(t, exists)
}

func TestFailedFileLeavesNothing(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{"1.sql": text("create table a (id int)"), "2.sql": text("create table b (id int); select 1/0;")}
	sources := []migrate.Source{{Name: "app", FS: app}}
	applied, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "22012", pgErr.Code)
	require.ErrorContains(t, err, "app/2.sql")
	require.Equal(t, []string{"app/1.sql"}, names(applied))

	app["2.sql"] = text("create table b (id int)") // never applied, so it may still change
	applied, err = migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"app/2.sql"}, names(applied))
}

// TestFileThatCommitsByItselfIsRefused before it runs, by Up, a dry run and UpTenants: nothing of it is kept.
func TestFileThatCommitsByItselfIsRefused(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	target := []migrate.Target{{Tenant: "acme", Schema: "acme"}}
	run := func(sql string) (errs []error) {
		sources := []migrate.Source{{Name: "app", FS: fstest.MapFS{"1.sql": text(sql)}}}
		_, dry := migrate.Up(t.Context(), pg.Owner, sources, &migrate.Options{DryRun: true})
		results, tenants := migrate.UpTenants(t.Context(), pg.Owner, target, sources, &migrate.TenantsOptions{CreateSchemas: true})
		if tenants == nil {
			tenants = results[0].Err
		}
		_, up := migrate.Up(t.Context(), pg.Owner, sources, nil)
		return []error{dry, tenants, up}
	}
	count := func() (n int) {
		require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from pg_tables where tablename = 'a'`).Scan(&n))
		return n
	}
	for _, end := range []string{
		"commit", "/* c */ COMMIT WORK", "end", "abort", "rollback", "rollback work", "commit and chain", "commit; begin", "rollback; begin",
		"prepare transaction 'x'",
	} {
		for _, err := range run("create table a (id int);\n" + end + ";\nselect 1") {
			require.ErrorContains(t, err, "app/1.sql:2: the file ends the transaction", end)
		}
		require.Zero(t, count(), end)
	}
	for _, err := range run("create table a (id int); savepoint s; create table b (id int); rollback work to s; do $$ begin null; end $$; prepare p as select 1; deallocate p") {
		require.NoError(t, err)
	}
	require.Equal(t, 2, count(), "the tenant's and the one of all")
}

func TestConcurrentCallsApplyOnce(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{"1.sql": text("create table a (id int)"), "2.sql": text("insert into a values (1)")}
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = migrate.Up(t.Context(), pg.Owner, []migrate.Source{{Name: "app", FS: app}}, nil)
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	var n int
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from a`).Scan(&n))
	require.Equal(t, 1, n)
}

func TestBadSources(t *testing.T) {
	t.Parallel()
	for name, sources := range map[string][]migrate.Source{
		"no name": {{FS: fstest.MapFS{"1.sql": text("")}}},
		"no fs":   {{Name: "a"}},
		"empty":   {{Name: "a", FS: fstest.MapFS{}}},
		"twice":   {{Name: "a", FS: fstest.MapFS{"1.sql": text("")}}, {Name: "a", FS: fstest.MapFS{"1.sql": text("")}}},
	} {
		_, err := migrate.Up(t.Context(), nil, sources, nil)
		require.ErrorContains(t, err, "migrate: source", name)
	}
}

// TestFilesDoNotFeelEachOther: what a file sets for its session ends with it.
func TestFilesDoNotFeelEachOther(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	source := migrate.Source{Name: "app", FS: fstest.MapFS{
		"0001_a.sql": {Data: []byte("create schema other;\nset search_path = other;\nset statement_timeout = '7s';")},
		"0002_b.sql": {Data: []byte("create table here (a int);")},
		"0003_c.sql": {Data: []byte("-- no-transaction\nset search_path = other;")},
		"0004_d.sql": {Data: []byte("create table here_too (a int);")},
	}}
	_, err := migrate.Up(t.Context(), pg.Owner, []migrate.Source{source}, nil)
	require.NoError(t, err)
	var here, too bool
	var timeout string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select to_regclass('public.here') is not null,
		to_regclass('public.here_too') is not null, current_setting('statement_timeout')`).Scan(&here, &too, &timeout))
	require.True(t, here)
	require.True(t, too)
	require.Equal(t, "0", timeout)
}
