package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/migrate"
)

// TestCheckAfterwards: a failed check says which files were applied, and that they stay.
func TestCheckAfterwards(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{"1.sql": text("create table a (tenant_id text)"), "2.sql": text("create table b (n int)")}
	open := errors.New("a is open to all")
	calls := 0
	opts := &migrate.Options{After: func(ctx context.Context, owner *pgxpool.Pool) error {
		calls++
		require.Equal(t, pg.Owner, owner)
		return open
	}}
	sources := []migrate.Source{{Name: "app", FS: app}}
	applied, err := migrate.Up(t.Context(), pg.Owner, sources, opts)
	require.ErrorIs(t, err, open)
	require.ErrorContains(t, err, "applied and committed, they stay: app/1.sql, app/2.sql")
	require.Len(t, applied, 2)
	_, err = migrate.Up(t.Context(), pg.Owner, sources, opts)
	require.ErrorContains(t, err, "nothing was applied by this call")
	require.Equal(t, []string{"a", "b"}, tables(t, pg))
	app["3.sql"] = text("no sql")
	_, err = migrate.Up(t.Context(), pg.Owner, sources, opts)
	require.ErrorContains(t, err, "app/3.sql:1")
	require.Equal(t, 2, calls, "not after a failure")
}

// TestInvalidIndexIsNotPassedOver: IF NOT EXISTS finds the index that a failed CREATE INDEX CONCURRENTLY has left, which
// serves no query and no ON CONFLICT.
func TestInvalidIndexIsNotPassedOver(t *testing.T) {
	t.Parallel()
	const index = "create unique index concurrently if not exists \"A n\" on s.a (n)"
	for name, app := range map[string]fstest.MapFS{
		"plain":         {"1.sql": text("create schema s; create table s.a as select 1 as n from generate_series(1, 2)"), "2.sql": text("-- no-transaction\nselect 1;\n" + index)},
		"search_path":   {"1.sql": text("create schema s; create table s.a as select 1 as n from generate_series(1, 2)"), "2.sql": text("-- no-transaction\nset search_path = s;\n" + strings.Replace(index, "s.a", "a", 1))},
		"golangmigrate": {"1_a.up.sql": text("create schema s; create table s.a as select 1 as n from generate_series(1, 2)"), "2_n.up.sql": text(index)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg := testenv.Postgres(t)
			sources := []migrate.Source{{Name: "app", FS: app}}
			_, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
			var answer *pgconn.PgError
			require.ErrorAs(t, err, &answer)
			require.Equal(t, "23505", answer.Code)
			_, err = pg.Owner.Exec(t.Context(), `delete from s.a where ctid = '(0,1)'`)
			require.NoError(t, err)
			for range 2 {
				applied, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
				require.ErrorContains(t, err, `has failed and left s."A n" invalid`)
				require.Empty(t, applied)
			}
			_, err = pg.Owner.Exec(t.Context(), `create schema other; create table other.a as select 1 as n from generate_series(1, 2)`)
			require.NoError(t, err)
			_, err = pg.Owner.Exec(t.Context(), `create unique index concurrently "A n" on other.a (n)`) // another one's, who has to mend it
			require.Error(t, err)
			_, err = pg.Owner.Exec(t.Context(), `drop index s."A n"`)
			require.NoError(t, err)
			applied, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
			require.NoError(t, err)
			require.Len(t, applied, 1)
		})
	}
}

// TestLateFile: a file of another branch, numbered before what was applied meanwhile.
func TestLateFile(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{"1.sql": text("create table a (n int)"), "3.sql": text("create table c (n int)")}
	sources := []migrate.Source{{Name: "app", FS: app}}
	_, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)
	app["2.sql"] = text("create table b (n int)")
	applied, err := migrate.Up(t.Context(), pg.Owner, sources, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"app/2.sql"}, names(applied))
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{
		"1.sql": text("create table a (n int); set search_path = nowhere"), "2.sql": text("-- no-transaction\ncreate index concurrently a_n on a (n)"),
		"3.sql": text("create table b (n int)"),
	}
	sources := []migrate.Source{{Name: "app", FS: app}}
	dry := &migrate.Options{DryRun: true, After: func(context.Context, *pgxpool.Pool) error { return errors.New("not called") }}
	planned, err := migrate.Up(t.Context(), pg.Owner, sources, dry)
	require.NoError(t, err)
	require.Equal(t, []string{"app/1.sql", "app/3.sql"}, names(planned))
	require.Zero(t, planned[0].At)
	require.Empty(t, tables(t, pg))
	var ledger *string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select to_regclass('ashlar.migrations')::text`).Scan(&ledger))
	require.Nil(t, ledger)
	app["4.sql"] = text("select 1;\nselect 1/0;\n")
	planned, err = migrate.Up(t.Context(), pg.Owner, sources, dry)
	require.ErrorContains(t, err, "app/4.sql: ERROR: division by zero")
	require.Len(t, planned, 2)
}

// TestStatementsThatChangeNothingWarn: a data step of the owner under forced row-level security.
func TestStatementsThatChangeNothingWarn(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	var log bytes.Buffer
	opts := &migrate.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	app := fstest.MapFS{"1.sql": text("create table notes (tenant_id text not null, body text, primary key (tenant_id, body));\n" +
		"select tenancy.protect('notes');\nupdate notes set body = 'x';")}
	sources := []migrate.Source{{Name: "tenancy", FS: tenancy.Migrations}, {Name: "app", FS: app}}
	run := func() string {
		log.Reset()
		_, err := migrate.Up(t.Context(), pg.Owner, sources, opts)
		require.NoError(t, err)
		var warnings []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "WARN") {
				warnings = append(warnings, line[strings.Index(line, "file="):])
			}
		}
		return strings.Join(warnings, "")
	}
	require.Empty(t, run(), "an empty table has nothing to hide")
	_, err := pg.System.Exec(t.Context(), `insert into notes values ('acme', 'a')`)
	require.NoError(t, err)
	app["2.sql"] = text("select 1;\n\nupdate notes set body = 'b'\nwhere body = 'a';\ndelete from notes where false;\ncreate table copy as select * from notes;\ninsert into copy select * from notes;")
	require.Equal(t, "file=2.sql line=3\nfile=2.sql line=5\nfile=2.sql line=7\n", run())
	app["3.sql"] = text("set local role ashlar_owner;\nupdate notes set body = 'z' where body = 'y';") // the author has thought of it
	require.Empty(t, run())
	app["4.sql"] = text("-- no-transaction\nselect 1;\nupdate notes set body = 'd';")
	require.Equal(t, "file=4.sql line=3\n", run())
}

// TestSecondProcessWaits: for a living one, naming it, as long as its context lasts; not for a dead one.
func TestSecondProcessWaits(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	other, err := pgx.Connect(t.Context(), pg.OwnerURL)
	require.NoError(t, err)
	defer other.Close(context.WithoutCancel(t.Context()))
	_, err = other.Exec(t.Context(), `set application_name = 'deploy-7'; select pg_advisory_lock($1)`, pgx.QueryExecModeSimpleProtocol, int64(0x6173686c61725f6d))
	require.NoError(t, err)

	app := fstest.MapFS{"1.sql": text("create table a (n int)")}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = migrate.Up(ctx, pg.Owner, []migrate.Source{{Name: "app", FS: app}}, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, fmt.Sprintf(`pid %d, application "deploy-7"`, other.PgConn().PID()))

	done := make(chan error, 1)
	go func() { _, err := up(t, pg, app, ""); done <- err }()
	require.NoError(t, other.PgConn().Conn().Close()) // dies without saying goodbye
	require.NoError(t, <-done)
	require.Equal(t, []string{"a"}, tables(t, pg))

	// One that neither answers nor closes its connection is given up by the server; the pool gets the session as it was.
	app["2.sql"] = text("create table s as select current_setting('client_connection_check_interval') as v")
	app["3.sql"] = text("insert into s select current_setting('client_connection_check_interval')")
	_, err = up(t, pg, app, "")
	require.NoError(t, err)
	var during []string
	var after string
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select array_agg(v), current_setting('client_connection_check_interval') from s`).Scan(&during, &after))
	require.Equal(t, []string{"5s", "5s"}, during)
	require.Equal(t, "0", after)
}

// TestTwoProcessesBuildAnIndex: whoever waits for the lock must not be waited for by CREATE INDEX CONCURRENTLY.
func TestTwoProcessesBuildAnIndex(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t)
	app := fstest.MapFS{"1.sql": text("create table a (n int); insert into a select generate_series(1, 100000)")}
	for i := range 6 {
		app[fmt.Sprint("2", i, ".sql")] = text(fmt.Sprint("-- no-transaction\ncreate index concurrently a_", i, " on a ((n + ", i, "));"))
	}
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() { _, errs[i] = up(t, pg, app, "") })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

// killURL makes this test binary a process that migrates; see TestKilled.
const killURL = "ASHLAR_MIGRATE_KILLED"

func TestMain(m *testing.M) {
	if url := os.Getenv(killURL); url != "" {
		ctx := context.Background()
		pool, err := pgxpool.New(ctx, url)
		if err == nil {
			_, err = migrate.Up(ctx, pool, []migrate.Source{{Name: "app", FS: manyFiles()}}, nil)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func manyFiles() fstest.MapFS {
	app := fstest.MapFS{"000.sql": text("create table log (n int)")}
	for i := 1; i < 60; i++ {
		app[fmt.Sprintf("%03d.sql", i)] = text(fmt.Sprintf("create table t%03d (n int);\ninsert into log values (%d);\nselect pg_sleep(0.002);\nalter table t%03d add column m int;", i, i, i))
	}
	return app
}

// TestKilled kills migrating processes at random moments, two at a time: ledger and schema agree after each, and the last
// one finds the rest.
func TestKilled(t *testing.T) {
	t.Parallel()
	rounds := testenv.Rounds(2, 40)
	for round := range rounds {
		pg := testenv.Postgres(t)
		kills := 0
		for {
			cmds := make([]*exec.Cmd, 2)
			for i := range cmds {
				cmds[i] = exec.Command(os.Args[0])
				cmds[i].Env = append(os.Environ(), killURL+"="+pg.OwnerURL)
				require.NoError(t, cmds[i].Start())
			}
			timer := time.NewTimer(time.Duration(20+rand.IntN(150)) * time.Millisecond)
			<-timer.C
			killed := 0
			for _, cmd := range cmds {
				if cmd.Process.Kill() == nil {
					killed++
				}
				if cmd.Wait() == nil {
					killed--
				}
			}
			kills += max(killed, 0)
			agree(t, pg)
			if kills >= 8 {
				break
			}
			if killed <= 0 {
				break // both were done
			}
		}
		_, err := up(t, pg, manyFiles(), "")
		require.NoError(t, err)
		require.Len(t, tables(t, pg), 60)
		t.Logf("round %d: %d kills", round, kills)
	}
}

// agree waits until the dead processes' sessions have ended, then compares.
func agree(t *testing.T, pg *testenv.PG) {
	t.Helper()
	require.Eventually(t, func() bool {
		var n int
		err := pg.Owner.QueryRow(t.Context(), `select count(*) from pg_locks where locktype = 'advisory'`).Scan(&n)
		return err == nil && n == 0
	}, time.Minute, 5*time.Millisecond)
	var exists bool
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select to_regclass('ashlar.migrations') is not null`).Scan(&exists))
	noted := 0
	if exists {
		require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from ashlar.migrations`).Scan(&noted))
	}
	made := tables(t, pg)
	require.Len(t, made, noted)
	if noted > 0 {
		var logged int
		require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(distinct n) from log`).Scan(&logged))
		require.Equal(t, noted-1, logged)
	}
}
