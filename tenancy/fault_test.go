package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// lateSchema fails while COMMIT runs: a deferred trigger sleeps for as long as the row says, or locks another row.
var lateSchema = fstest.MapFS{"0002_late.sql": {Data: []byte(`
create table late (
    tenant_id text not null,
    name      text not null,
    sleep     float not null default 0,
    peer      text not null default '',
    primary key (tenant_id, name)
);
select tenancy.protect('late');
create function late() returns trigger language plpgsql as $$
begin
    perform pg_sleep(new.sleep);
    perform from late where name = new.peer for update;
    return null;
end
$$;
create constraint trigger late after insert or update on late deferrable initially deferred for each row execute function late();
`)}}

func openLate(t *testing.T, pooler bool) *tenancy.DB {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema, lateSchema)
	if pooler {
		pg = testenv.PgBouncer(t, pg)
	}
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	return db
}

// TestCommitIsInterrupted stops COMMIT while its deferred triggers run: by pg_cancel_backend, which is a definite answer, by
// pg_terminate_backend, after which the unit runs again, and by the end of the caller's context, which drops the connection.
func TestCommitIsInterrupted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, strike, code string
		committed, pooler  bool
	}{
		{"cancel", `pg_cancel_backend(pid)`, "57014", false, false},
		{"terminate", `pg_terminate_backend(pid)`, "", true, false},
		{"terminate behind a pooler", `pg_terminate_backend(pid)`, "", true, true},
		{"context", "", "", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := openLate(t, c.pooler)
			ctx, cancel := context.WithCancel(tenancy.WithID(t.Context(), "acme"))
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				strike := c.strike
				if strike == "" {
					strike = "true"
				}
				require.Eventually(t, func() bool {
					hit, err := tenancy.All[bool](tenancy.WithID(t.Context(), "acme"), db, `select `+strike+` from pg_stat_activity
						where datname = current_database() and wait_event = 'PgSleep'`)
					return err == nil && len(hit) > 0
				}, time.Minute, time.Millisecond)
				if c.strike == "" {
					cancel()
				}
			})
			runs := 0
			err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				sleep := 30
				if runs++; runs > 1 {
					sleep = 0
				}
				tx.Emit(noteAdded{"x"})
				if err := exec(ctx, tx, "x"); err != nil {
					return err
				}
				tx.Defer(`insert into late (name, sleep) values ('x', $1)`, sleep)
				return nil
			})
			wg.Wait()
			var answer *pgconn.PgError
			if c.code != "" {
				require.ErrorAs(t, err, &answer)
				require.Equal(t, c.code, answer.Code)
			}
			require.Equal(t, c.committed, err == nil, "%v", err)
			n, err := tenancy.One[int](tenancy.WithID(t.Context(), "acme"), db, `select count(*)::int from late`)
			require.NoError(t, err)
			require.Equal(t, c.committed, n == 1)
		})
	}
}

func TestDeadlockDuringCommitIsRunAgain(t *testing.T) {
	t.Parallel()
	db := openLate(t, false)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`insert into late (name) values ('a'), ('b')`)
		return nil
	}))
	var wg, locked sync.WaitGroup // locked: both hold their own row, so each COMMIT wants the other's
	locked.Add(2)
	var runs atomic.Int64
	errs := make([]error, 2)
	for i, name := range []string{"a", "b"} {
		wg.Go(func() {
			first := true
			errs[i] = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				runs.Add(1)
				_, err := tx.Exec(ctx, `update late set peer = $2 where name = $1`, name, map[string]string{"a": "b", "b": "a"}[name])
				if first {
					first = false
					locked.Done()
					locked.Wait()
				}
				tx.Emit(noteAdded{name})
				return err
			})
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Greater(t, runs.Load(), int64(2))
	n, err := tenancy.One[int](tenancy.System(ctx, "test"), db, `select count(*)::int from tenancy.outbox`)
	require.NoError(t, err)
	require.Equal(t, 2, n, "one event each, whatever was run again")
}

// restartable returns a function that starts a server on the same data each time.
func restartable(t *testing.T) func() *devstack.PostgresServer {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	return func() (server *devstack.PostgresServer) {
		require.Eventually(t, func() bool { // backends of a killed server keep its memory for a moment
			s, err := devstack.Postgres(context.Background(), &devstack.PostgresOptions{URL: "none", Dir: dir})
			if err != nil {
				t.Log(err)
				return false
			}
			server = s
			return true
		}, time.Minute, 50*time.Millisecond)
		t.Cleanup(func() { server.Close() })
		return server
	}
}

// TestAnswerMatchesDatabaseWhenTheServerCrashes kills a server that keeps its data and starts it again, while units of all
// shapes run.
func TestAnswerMatchesDatabaseWhenTheServerCrashes(t *testing.T) {
	t.Parallel()
	start := restartable(t)
	server := start()
	databases, err := devstack.NewDatabases(t.Context(), server)
	require.NoError(t, err)
	pg, err := databases.New(t.Context(), tenancy.Migrations, schema)
	require.NoError(t, err)
	pg.Close()
	var socket atomic.Pointer[string] // of the server that runs now
	at := func(s *devstack.PostgresServer) { a := addrOf(t, s.AppURL); socket.Store(&a) }
	at(server)
	pool := func(target string) *pgxpool.Pool {
		cfg, err := pgxpool.ParseConfig(target)
		require.NoError(t, err)
		cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", *socket.Load())
		}
		p, err := pgxpool.NewWithConfig(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(p.Close)
		return p
	}
	b := &bench{run: byDo, unknown: map[string]int{}, pool: pool(pg.AppURL)}
	b.direct, err = tenancy.New(b.pool, &tenancy.Options{System: pool(pg.SystemURL)})
	require.NoError(t, err)

	type answer struct {
		shape
		body string
		err  error
	}
	ctx := tenancy.WithID(t.Context(), "acme")
	answers, stop := make(chan answer, 1<<16), make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 3 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				s, body := shapes[i%len(shapes)], fmt.Sprint("worker ", worker, " unit ", i)
				err := b.run(ctx, b.direct, b.pool, s, body)
				answers <- answer{s, body, err}
				if err != nil {
					<-time.After(10 * time.Millisecond) // it is down; do not burn the processor that it needs
				}
			}
		})
	}
	for range testenv.Rounds(2, 20) {
		before := len(answers)
		require.Eventually(t, func() bool { return len(answers) > before+50 }, time.Minute, time.Millisecond)
		require.NoError(t, server.Kill())
		server = start()
		at(server)
	}
	close(stop)
	wg.Wait()
	close(answers)
	failed := 0
	for a := range answers {
		b.judge(t, ctx, a.shape, a.body, a.err)
		if a.err != nil {
			failed++
		}
	}
	require.Empty(t, b.wrong)
	t.Logf("%d failed, unknown %v", failed, b.unknown)
}
