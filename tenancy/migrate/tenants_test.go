package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

func schemas(n int) (list []migrate.Target) {
	for i := range n {
		list = append(list, migrate.Target{Tenant: fmt.Sprintf("tenant-%04d", i), Schema: fmt.Sprintf("T %04d", i)})
	}
	return list
}

func wideFiles() fstest.MapFS {
	app := fstest.MapFS{}
	for f := range 4 {
		sql := ""
		for i := range 5 {
			sql += fmt.Sprintf("create table t%d_%d (id int primary key, body text);\n", f, i)
		}
		app[fmt.Sprintf("%04d.sql", f)] = text(sql)
	}
	return app
}

// TestManySchemas is the measurement: what it takes to make, to find nothing to do in, and to change many schemas.
func TestManySchemas(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	n := testenv.Rounds(40, 1000)
	targets, app := schemas(n), wideFiles()
	sources := []migrate.Source{{Name: "app", FS: app}}
	timed := func(what string, workers int) []migrate.TenantResult {
		start, calls := time.Now(), 0
		results, err := migrate.UpTenants(t.Context(), pg.Owner, targets, sources, &migrate.TenantsOptions{
			CreateSchemas: true, Workers: workers, Progress: func(_ migrate.TenantResult, done, total int) {
				calls++
				require.Equal(t, calls, done)
				require.LessOrEqual(t, done, total)
			},
		})
		require.NoError(t, err)
		t.Logf("%d schemas, %s, %d workers: %v", n, what, workers, time.Since(start).Round(time.Millisecond))
		return results
	}
	require.Len(t, timed("4 files of 5 tables", 4)[n-1].Files, 4)
	require.Empty(t, timed("nothing to do", 4)[0].Files)
	app["0005.sql"] = text("alter table t0_0 add column at timestamptz")
	status, err := migrate.TenantsStatus(t.Context(), pg.Owner, targets, sources)
	require.NoError(t, err)
	require.Equal(t, []string{"app/0005.sql"}, names(status[n/2].Pending))
	require.Len(t, timed("one more column", 1)[n/2].Files, 1)
	app["0006.sql"] = text("alter table t0_0 add column by text")
	require.Len(t, timed("one more column", 4)[n/2].Files, 1)
	var made int
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from pg_class where relname = 't0_0' and relnatts = 4`).Scan(&made))
	require.Equal(t, n, made)
}

// TestFailingTenantStopsNobody: its own transaction, its own error, kept in the ledger until it succeeds.
func TestFailingTenantStopsNobody(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	targets := schemas(12)
	app := fstest.MapFS{"1.sql": text("create table notes (body text)")}
	sources := []migrate.Source{{Name: "app", FS: app}}
	_, err := migrate.UpTenants(t.Context(), pg.Owner, targets, sources, nil)
	require.ErrorContains(t, err, "CreateSchemas")
	_, err = migrate.UpTenants(t.Context(), pg.Owner, targets, sources, &migrate.TenantsOptions{CreateSchemas: true})
	require.NoError(t, err)
	for _, i := range []int{3, 7} {
		_, err = pg.Owner.Exec(t.Context(), fmt.Sprintf(`insert into "T %04d".notes values ('twice'), ('twice')`, i))
		require.NoError(t, err)
	}
	app["2.sql"] = text("create table more (n int); set search_path = public; set statement_timeout = '7min'")
	app["3.sql"] = text("create unique index notes_body on notes (body)")
	results, err := migrate.UpTenants(t.Context(), pg.Owner, targets, sources, nil)
	var failed *migrate.TenantsError
	require.ErrorAs(t, err, &failed)
	require.Len(t, failed.Failed, 2)
	require.Equal(t, "tenant-0003", failed.Failed[0].Tenant)
	require.ErrorContains(t, err, "2 of 12 tenants failed, the others are migrated; tenant-0003: migrate: app/3.sql")
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "23505", pgErr.Code)
	require.Empty(t, results[3].Files)
	require.Len(t, results[4].Files, 2)
	count := func(table string) (n int) {
		require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from pg_class where relname = $1 and relnamespace <> 'public'::regnamespace`, table).Scan(&n))
		return n
	}
	require.Equal(t, 10, count("more"), "of a failed tenant nothing is left")
	require.Equal(t, 10, count("notes_body"))

	status, err := migrate.TenantsStatus(t.Context(), pg.Owner, targets, sources)
	require.NoError(t, err)
	require.Equal(t, []string{"app/2.sql", "app/3.sql"}, names(status[7].Pending))
	require.Contains(t, status[7].Failure, "could not create unique index")
	require.Empty(t, status[8].Pending)
	require.Empty(t, status[8].Failure)

	_, err = pg.Owner.Exec(t.Context(), `delete from "T 0003".notes; delete from "T 0007".notes`)
	require.NoError(t, err)
	visited := 0
	_, err = migrate.UpTenants(t.Context(), pg.Owner, targets, sources, &migrate.TenantsOptions{Progress: func(_ migrate.TenantResult, _, total int) {
		visited++
		require.Equal(t, 2, total, "nobody else is visited")
	}})
	require.NoError(t, err)
	require.Equal(t, 2, visited)
	require.Equal(t, 12, count("more"))
	status, err = migrate.TenantsStatus(t.Context(), pg.Owner, targets, sources)
	require.NoError(t, err)
	require.Empty(t, status[7].Failure)
	var timeout string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `show statement_timeout`).Scan(&timeout))
	require.Equal(t, "0", timeout)
}

func TestTenantsPlanAndDrift(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	targets := schemas(3)
	app := fstest.MapFS{"1.sql": text("create table a (n int)")}
	sources := []migrate.Source{{Name: "app", FS: app}}
	dry := &migrate.TenantsOptions{DryRun: true, CreateSchemas: true}
	results, err := migrate.UpTenants(t.Context(), pg.Owner, targets, sources, dry)
	require.NoError(t, err)
	require.Equal(t, []string{"app/1.sql"}, names(results[2].Files))
	var ledger *string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select to_regclass('ashlar.tenant_migrations')::text`).Scan(&ledger))
	require.Nil(t, ledger)
	_, err = migrate.UpTenants(t.Context(), pg.Owner, targets[:2], sources, &migrate.TenantsOptions{CreateSchemas: true})
	require.NoError(t, err)
	app["1.sql"] = text("create table a (n int8)")
	results, err = migrate.UpTenants(t.Context(), pg.Owner, targets, sources, &migrate.TenantsOptions{CreateSchemas: true})
	var drift *migrate.DriftError
	require.ErrorAs(t, err, &drift)
	require.Error(t, results[1].Err)
	require.NoError(t, results[2].Err, "it has never seen the old file")
	status, err := migrate.TenantsStatus(t.Context(), pg.Owner, targets, sources)
	require.NoError(t, err)
	require.ErrorAs(t, status[0].Drift, &drift)

	for want, call := range map[string]func() error{
		"given twice": func() error {
			_, err := migrate.TenantsStatus(t.Context(), pg.Owner, append(targets, targets[0]), sources)
			return err
		},
		"one transaction": func() error {
			_, err := migrate.UpTenants(t.Context(), pg.Owner, targets, []migrate.Source{{Name: "app", FS: fstest.MapFS{"1.sql": text("-- no-transaction\nselect 1")}}}, nil)
			return err
		},
		"adopt each": func() error {
			_, err := migrate.UpTenants(t.Context(), pg.Owner, targets, []migrate.Source{{Name: "app", Adopt: "x", FS: fstest.MapFS{"1_a.up.sql": text("select 1")}}}, nil)
			return err
		},
	} {
		require.ErrorContains(t, call(), want)
	}
}

// TestTwoProcessesMigrateTenants: each tenant once, whoever comes first.
func TestTwoProcessesMigrateTenants(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	targets, app := schemas(20), fstest.MapFS{"1.sql": text("create table a (n int)"), "2.sql": text("insert into a values (1)")}
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = migrate.UpTenants(t.Context(), pg.Owner, targets, []migrate.Source{{Name: "app", FS: app}}, &migrate.TenantsOptions{CreateSchemas: true, Workers: 3})
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	var n int
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from "T 0011".a`).Scan(&n))
	require.Equal(t, 1, n)
}

// TestTenantsResumeAfterCancel: what was not begun is reported, what was done stays.
func TestTenantsResumeAfterCancel(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	targets, sources := schemas(30), []migrate.Source{{Name: "app", FS: fstest.MapFS{"1.sql": text("create table a (n int)")}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	results, err := migrate.UpTenants(ctx, pg.Owner, targets, sources, &migrate.TenantsOptions{
		CreateSchemas: true, Workers: 2, Progress: func(_ migrate.TenantResult, done, _ int) {
			if done == 5 {
				cancel()
			}
		},
	})
	require.ErrorIs(t, err, context.Canceled)
	ok := 0
	for _, r := range results {
		if r.Err == nil {
			ok++
		}
	}
	require.GreaterOrEqual(t, ok, 4)
	require.Less(t, ok, 30)
	var made int
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from pg_class where relname = 'a'`).Scan(&made))
	require.Equal(t, ok, made)
	results, err = migrate.UpTenants(t.Context(), pg.Owner, targets, sources, &migrate.TenantsOptions{CreateSchemas: true})
	require.NoError(t, err)
	require.Len(t, results, 30)
}

// TestDatabasesPerTenant: each has its own ledger; the central one follows, also after it has missed something.
func TestDatabasesPerTenant(t *testing.T) {
	t.Parallel()
	central := testenv.Postgres(t)
	var targets []migrate.Target
	var own []*testenv.PG
	for i := range 3 {
		pg := testenv.Postgres(t)
		own = append(own, pg)
		targets = append(targets, migrate.Target{Tenant: fmt.Sprint("db-", i), Connect: func(ctx context.Context) (*pgx.Conn, error) {
			return pgx.Connect(ctx, pg.OwnerURL)
		}})
	}
	away := errors.New("database is away")
	targets = append(targets, migrate.Target{Tenant: "away", Connect: func(context.Context) (*pgx.Conn, error) { return nil, away }})
	app := fstest.MapFS{"1.sql": text("create table a (n int)")}
	sources := []migrate.Source{{Name: "app", FS: app}}
	_, err := migrate.Up(t.Context(), own[1].Owner, sources, nil) // by hand, so the central ledger does not know
	require.NoError(t, err)
	results, err := migrate.UpTenants(t.Context(), central.Owner, targets, sources, nil)
	require.ErrorIs(t, err, away)
	require.Len(t, results[0].Files, 1)
	require.Empty(t, results[1].Files)
	for _, pg := range own {
		require.Equal(t, []string{"a"}, tables(t, pg))
	}
	require.Empty(t, tables(t, central))
	status, err := migrate.TenantsStatus(t.Context(), central.Owner, targets, sources)
	require.NoError(t, err)
	require.Empty(t, status[1].Pending)
	require.Contains(t, status[3].Failure, "database is away")
	applied, err := migrate.Up(t.Context(), own[0].Owner, sources, nil) // Up knows too
	require.NoError(t, err)
	require.Empty(t, applied)
}
