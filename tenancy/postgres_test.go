package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// schema is an application's: two protected tables, a view and a function of the owner, as attackers like them.
var schema = fstest.MapFS{"0001_app.sql": {Data: []byte(`
create table notes (
    tenant_id text not null,
    id        bigint generated always as identity,
    body      text not null,
    primary key (tenant_id, id)
);
select tenancy.protect('notes');
create procedure pass() language plpgsql as $$ begin end $$;
create table counters (
    tenant_id text not null,
    name      text not null,
    n         bigint not null,
    primary key (tenant_id, name)
);
select tenancy.protect('counters');
create function note_count() returns bigint language sql security definer as 'select count(*) from notes';
create view note_view with (security_invoker = true) as select * from notes;
create view owner_view as select * from notes;
grant select on note_view, owner_view to tenancy_app;
`)}}

type note struct {
	ID   int64
	Body string
}

type noteAdded struct{ Body string }

func (noteAdded) EventType() string  { return "note.added" }
func (e noteAdded) EventKey() string { return e.Body }

const insertNote = `insert into notes (body) values ($1)`

func open(t *testing.T) (*tenancy.DB, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	return db, pg
}

func seed(t *testing.T, db *tenancy.DB, tenants ...string) {
	t.Helper()
	for _, id := range tenants {
		require.NoError(t, db.Do(tenancy.WithID(t.Context(), id), func(ctx context.Context, tx *tenancy.Tx) error {
			for i := range 5 {
				tx.Defer(insertNote, fmt.Sprint(id, " note ", i))
			}
			return nil
		}))
	}
}

// TestForeignRowsStayInvisible tries to reach another tenant's rows in every way that SQL of the app role offers, and reads
// its own rows by the same statement, so that an attempt that sees nothing at all does not pass for isolation.
func TestForeignRowsStayInvisible(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	seed(t, db, "acme", "globex")
	ctx := tenancy.WithID(t.Context(), "acme")
	for _, sql := range []string{
		`select id, body from notes`,
		`select id, body from notes where tenant_id = 'globex' or true`,
		`select id, body from note_view`,
		`select n.id, n.body from notes n left join notes o on o.tenant_id = 'globex' and o.id = n.id`,
		`with a as materialized (select * from notes) select id, body from a union select id, body from notes`,
		`select id, body from notes where exists (select from notes f where f.tenant_id <> tenancy.tenant_id()) or true`,
		`update notes set body = body where tenant_id in ('acme', 'globex') returning id, body`,
		`delete from notes where tenant_id in ('acme', 'globex') returning id, body`,
	} {
		list, err := tenancy.All[note](ctx, db, sql)
		require.NoError(t, err, sql)
		require.Len(t, list, 5, sql)
		for _, n := range list {
			require.True(t, strings.HasPrefix(n.Body, "acme"), "%s returned %q", sql, n.Body)
		}
	}
	n, err := tenancy.One[int](tenancy.WithID(ctx, "globex"), db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Equal(t, 5, n, "the other tenant's rows are untouched")
	// The owner's function and view run as the owner, whom FORCE leaves without a policy.
	for _, sql := range []string{`select note_count()::int`, `select count(*)::int from owner_view`} {
		n, err = tenancy.One[int](ctx, db, sql)
		require.NoError(t, err)
		require.Zero(t, n, sql)
	}
}

func TestForeignWritesAreRefused(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	seed(t, db, "acme", "globex")
	ctx := tenancy.WithID(t.Context(), "acme")
	for _, sql := range []string{
		`insert into notes (tenant_id, body) values ('globex', 'mine')`,
		`update notes set tenant_id = 'globex'`,
		`truncate notes`,
		`alter table notes disable row level security`,
		`set local role tenancy_system`,
		`set local row_security = off; select * from notes`,
		`select payload from tenancy.outbox`,
		`delete from tenancy.outbox`,
		`insert into tenancy.outbox (id, tenant_id, type, payload) values (gen_random_uuid(), 'globex', 't', '')`,
		`select * from tenancy.outbox_default`,
		`select tenancy.protect('notes')`,
	} {
		err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err })
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, "%s: %v", sql, err)
	}
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tag, err := tx.Exec(ctx, `delete from notes where tenant_id = 'globex'`)
		require.Zero(t, tag.RowsAffected())
		return err
	}))
}

// TestInjectedEventsAreBounded: SQL of the app role writes no event that Emit would refuse, which a relay of all tenants had to
// carry. What Emit takes at most, it does write.
func TestInjectedEventsAreBounded(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	const insert = `insert into tenancy.outbox (id, tenant_id, type, key, payload)
		values (gen_random_uuid(), tenancy.tenant_id(), repeat('t', $1), repeat('k', $2), convert_to(repeat('b', $3), 'UTF8'))`
	for _, size := range [][3]int{{0, 1, 1}, {256, 1, 1}, {1, 256, 1}, {1, 1, 1<<20 + 1}} {
		_, err := db.Exec(ctx, insert, size[0], size[1], size[2])
		var refusal *pgconn.PgError
		require.ErrorAs(t, err, &refusal, "%v", size)
		require.Equal(t, "42501", refusal.Code, "%v: %v", size, err)
	}
	_, err := db.Exec(ctx, insert, 255, 255, 1<<20)
	require.NoError(t, err)
	require.NoError(t, db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
		return tenancy.Emit(ctx, strings.Repeat("t", 255), strings.Repeat("k", 255), make([]byte, 1<<20))
	}))
}

// TestWithoutTenantSQLFails goes around the package: statements on the bare pool, on fresh and on used connections.
func TestWithoutTenantSQLFails(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	seed(t, db, "acme")
	conn, err := pg.App.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	check := func(state string) {
		for _, sql := range []string{`select * from notes`, `insert into notes (body) values ('x')`, `delete from notes`, `select tenancy.tenant_id()`} {
			_, err := conn.Exec(t.Context(), sql)
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr, "%s: %s", state, sql)
			require.Equal(t, "42501", pgErr.Code, "%s: %s", state, sql)
		}
	}
	check("setting never set")
	require.NoError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `select set_config('tenancy.tenant', 'acme', true)`)
		return err
	}))
	check("setting left behind by a transaction")
	_, err = conn.Exec(t.Context(), `discard all`)
	require.NoError(t, err)
	check("discard all")
}

// TestNothingIsLeftInTheSession runs units of many tenants on one connection and looks at it in between.
func TestNothingIsLeftInTheSession(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	cfg := pg.App.Config()
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	db, err := tenancy.New(pool, nil)
	require.NoError(t, err)
	boom := errors.New("boom")
	for i := range 20 {
		ctx := tenancy.WithID(t.Context(), fmt.Sprint("t", i))
		err := db.With(&tenancy.TxOptions{Timeout: time.Minute}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, insertNote, "x")
			if i%2 == 0 {
				return boom
			}
			return err
		})
		if i%2 == 0 {
			require.ErrorIs(t, err, boom)
		}
		_, err = tenancy.All[note](ctx, db, `select id, body from notes`)
		require.NoError(t, err)
		var tenant, timeout string
		require.NoError(t, pool.QueryRow(t.Context(),
			`select coalesce(current_setting('tenancy.tenant', true), ''), current_setting('statement_timeout')`).Scan(&tenant, &timeout))
		require.Empty(t, tenant)
		require.Equal(t, "0", timeout)
	}
}

// missing finds tables with a tenant column that are not fully protected.
const missing = `
select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema')
  and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped)
  and not (c.relrowsecurity and c.relforcerowsecurity)`

// TestMissingForceIsFound plants a table without FORCE: the catalog query names it, and the owner's function leaks through
// it, which is what TestForeignRowsStayInvisible would see.
func TestMissingForceIsFound(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	seed(t, db, "acme", "globex")
	find := func() []string {
		rows, err := pg.Owner.Query(t.Context(), missing)
		require.NoError(t, err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return list
	}
	require.Empty(t, find())
	_, err := pg.Owner.Exec(t.Context(), `alter table notes no force row level security`)
	require.NoError(t, err)
	require.Equal(t, []string{"notes"}, find())
	n, err := tenancy.One[int](tenancy.WithID(t.Context(), "acme"), db, `select note_count()::int`)
	require.NoError(t, err)
	require.Equal(t, 10, n, "the planted hole leaks, so the attack is able to see one")
}

func TestDeadlocksAreRunAgain(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`insert into counters (name, n) values ('a', 0), ('b', 0)`)
		return nil
	}))
	add := func(ctx context.Context, tx *tenancy.Tx, name string) error {
		_, err := tx.Exec(ctx, `update counters set n = n + 1 where name = $1`, name)
		return err
	}
	var wg, locked sync.WaitGroup // locked: both hold their first row, so the second statements must deadlock
	locked.Add(2)
	var runs atomic.Int64
	errs := make([]error, 2)
	for i, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
		wg.Go(func() {
			first := true
			errs[i] = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				runs.Add(1)
				if err := add(ctx, tx, order[0]); err != nil {
					return err
				}
				if first {
					first = false
					locked.Done()
					locked.Wait()
				}
				return add(ctx, tx, order[1])
			})
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Greater(t, runs.Load(), int64(2))
	sum, err := tenancy.One[int64](ctx, db, `select sum(n)::bigint from counters`)
	require.NoError(t, err)
	require.EqualValues(t, 4, sum)
}

func TestSerializableUnitsAreRunAgain(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Retries: 50}) // on a slow machine they meet often
	require.NoError(t, err)
	serializable := db.With(&tenancy.TxOptions{Isolation: pgx.Serializable})
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		wg.Go(func() {
			errs[i] = serializable.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { // only while there are fewer than two
				n, err := tenancy.One[int](ctx, tx, `select count(*)::int from notes`)
				if err != nil || n >= 2 {
					return err
				}
				_, err = tx.Exec(ctx, insertNote, "x")
				return err
			})
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	n, err := tenancy.One[int](ctx, db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Error(t, db.Do(ctx, func(ctx context.Context, _ *tenancy.Tx) error {
		return serializable.Do(ctx, func(context.Context, *tenancy.Tx) error { return nil })
	}), "an open unit cannot change its isolation level")
}

func TestCancelledUnitKeepsItsConnection(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx, cancel := context.WithCancel(tenancy.WithID(t.Context(), "acme"))
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, insertNote, "x")
		cancel()
		return errors.Join(err, ctx.Err())
	})
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, 1, pg.App.Stat().TotalConns(), "rolled back and given back, not torn down")
	require.Zero(t, pg.App.Stat().AcquiredConns())
}

func TestTimeoutReachesTheServer(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	setting, err := tenancy.One[string](ctx, db.With(&tenancy.TxOptions{Timeout: 1500 * time.Millisecond}), `select current_setting('statement_timeout')`)
	require.NoError(t, err)
	require.Equal(t, "1500ms", setting)
	err = db.With(&tenancy.TxOptions{Timeout: 50 * time.Millisecond}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `select pg_sleep(30)`)
		return err
	})
	require.Error(t, err)
}

func TestEagerUnitHasConnAndLargeObjects(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	eager := db.With(&tenancy.TxOptions{Eager: true})
	var oid uint32
	require.NoError(t, eager.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		var tenant string
		require.NoError(t, tx.Conn().QueryRow(ctx, `select tenancy.tenant_id()`).Scan(&tenant))
		require.Equal(t, "acme", tenant)
		lo := tx.LargeObjects()
		var err error
		if oid, err = lo.Create(ctx, 0); err != nil {
			return err
		}
		obj, err := lo.Open(ctx, oid, pgx.LargeObjectModeWrite)
		if err != nil {
			return err
		}
		_, err = obj.Write([]byte("hello"))
		return err
	}))
	require.NoError(t, eager.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		var data []byte
		err := tx.QueryRow(ctx, `select lo_get($1)`, oid).Scan(&data)
		require.Equal(t, "hello", string(data))
		return err
	}))
	require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		require.PanicsWithValue(t, "tenancy: Tx.Conn needs TxOptions{Eager: true} and PostgreSQL", func() { tx.Conn() })
		require.Panics(t, func() { tx.LargeObjects() })
		return nil
	}))
}

func TestStatementsThatCannotTravelInABatch(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Defer(insertNote, "deferred first")
		_, err := tx.Exec(ctx, `insert into notes (body) values ('a'); insert into notes (body) values ('b')`)
		require.NoError(t, err)
		rows, err := tx.Query(ctx, `select body from notes where body <> $1 order by id`, pgx.QueryExecModeExec, "")
		require.NoError(t, err)
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.Equal(t, []string{"deferred first", "a", "b"}, list)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, `create temp table bulk (n int) on commit drop`)
		require.NoError(t, err)
		n, err := tx.CopyFrom(ctx, pgx.Identifier{"bulk"}, []string{"n"}, pgx.CopyFromRows([][]any{{1}, {2}}))
		require.EqualValues(t, 2, n)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, `insert into notes (body) values (@body)`, pgx.NamedArgs{"body": "named"})
		return err
	}))
}

func TestSystemNeedsItsPool(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	_, err = tenancy.One[int](tenancy.System(t.Context(), "test"), db, `select 1`)
	require.ErrorContains(t, err, "Options.System")
	_, err = tenancy.New(nil, nil)
	require.Error(t, err)
}
