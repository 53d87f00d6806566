package sqldb_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/sqldb"
)

func TestStatementsSeeTheirTenantOnly(t *testing.T) {
	t.Parallel()
	w := open(t)
	acme, globex := w.tenant("acme"), w.tenant("globex")
	for _, ctx := range []context.Context{acme, globex} {
		res, err := w.std.ExecContext(ctx, `insert into notes (body) values ($1), ($2)`, "a", "b")
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		_, err = res.LastInsertId()
		require.ErrorContains(t, err, "RETURNING")
	}
	_, err := w.std.ExecContext(acme, `update notes set body = body || '!'`)
	require.NoError(t, err)
	rows, err := w.std.QueryContext(globex, `select body from notes order by id`)
	require.Equal(t, []string{"a", "b"}, collect(t, rows, err))
	var id int64
	require.NoError(t, w.std.QueryRowContext(acme, `insert into notes (body) values ('c') returning id`).Scan(&id))
	require.NotZero(t, id)
	require.Equal(t, []string{"a!", "b!", "c"}, w.bodies(acme))
	require.ErrorIs(t, w.std.QueryRowContext(globex, `select 1 from notes where id = $1`, id).Scan(new(int)), sql.ErrNoRows)

	var n int
	system := tenancy.System(t.Context(), "count")
	require.NoError(t, w.std.QueryRowContext(system, `select count(*) from notes`).Scan(&n))
	require.Equal(t, 5, n)
	require.Zero(t, w.std.Stats().InUse)
	require.Zero(t, w.pg.App.Stat().AcquiredConns())
}

// TestWithoutTenantNothingIsSent: calls without a context have no tenant either.
func TestWithoutTenantNothingIsSent(t *testing.T) {
	t.Parallel()
	w := open(t)
	before := w.pg.App.Stat().AcquireCount()
	_, err := w.std.Exec(`delete from notes`)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = w.std.Query(`select body from notes`)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	require.ErrorIs(t, w.std.QueryRow(`select 1`).Scan(new(int)), tenancy.ErrNoTenant)
	_, err = w.std.Begin()
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = w.std.BeginTx(tenancy.WithID(t.Context(), ""), nil)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	prepared, err := w.std.Prepare(`select body from notes`) // a text, no I/O
	require.NoError(t, err)
	_, err = prepared.Query()
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = prepared.ExecContext(tenancy.WithID(t.Context(), "a\x00b"))
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	require.Equal(t, before, w.pg.App.Stat().AcquireCount())
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	w := open(t)
	pool, proxy := through(t, w.pg.AppURL)
	w = on(t, w.pg, pool)
	ctx := w.tenant("acme")
	write := `insert into notes (body) values ('x') on conflict (tenant_id, body) do nothing`
	inTx := func(statements int, end func(*sql.Tx) error, between ...string) func() error {
		return func() error {
			tx, err := w.std.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			for i := range statements {
				if i < len(between) {
					if _, err := tx.ExecContext(ctx, between[i]); err != nil {
						return err
					}
				}
				if _, err := tx.ExecContext(ctx, write); err != nil {
					return err
				}
			}
			return end(tx)
		}
	}
	prepared, err := w.std.PrepareContext(ctx, `select body from notes where id > $1`)
	require.NoError(t, err)
	for _, c := range []struct {
		name string
		want int64
		run  func() error
	}{
		{"query", 1, func() error {
			rows, err := w.std.QueryContext(ctx, `select body from notes`)
			collect(t, rows, err)
			return nil
		}},
		{"query of a prepared statement", 1, func() error {
			rows, err := prepared.QueryContext(ctx, 0)
			collect(t, rows, err)
			return nil
		}},
		{"exec", 1, func() error { _, err := w.std.ExecContext(ctx, write); return err }},
		{"transaction of none", 0, inTx(0, (*sql.Tx).Commit)},
		{"transaction of one", 2, inTx(1, (*sql.Tx).Commit)},
		{"transaction of three", 4, inTx(3, (*sql.Tx).Commit)},
		{"transaction of two, rolled back", 3, inTx(2, (*sql.Tx).Rollback)},
		{"savepoints", 3, inTx(2, (*sql.Tx).Commit, `savepoint a`, `release savepoint a`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, c.run()) // pgx prepares
			require.NoError(t, c.run())
			before := proxy.RoundTrips()
			require.NoError(t, c.run())
			require.Equal(t, c.want, proxy.RoundTrips()-before)
		})
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	var s string
	require.NoError(t, w.std.QueryRowContext(ctx, `select @a::float8::text || @b::text`, sql.Named("b", "2"), sql.Named("a", 1.5)).Scan(&s))
	require.Equal(t, "1.52", s)
	err := w.std.QueryRowContext(ctx, `select @a::text || @c::text`, sql.Named("a", "x")).Scan(&s)
	require.ErrorContains(t, err, "c")
	_, err = w.std.ExecContext(ctx, `select $1::text, @a::text`, "x", sql.Named("a", "x"))
	require.ErrorContains(t, err, "all named")
	_, err = w.std.ExecContext(ctx, `select $1::text`, sql.Out{Dest: &s})
	require.ErrorContains(t, err, "sql.Out")
	_, err = w.std.ExecContext(ctx, `select $1::text, $2::text`, "one")
	require.Error(t, err)
}

func TestPinnedConnKeepsNothing(t *testing.T) {
	t.Parallel()
	w := open(t)
	conn, err := w.std.Conn(t.Context()) // needs no tenant: it is no connection yet
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(w.tenant("acme"), `insert into notes (body) values ('a')`)
	require.NoError(t, err)
	rows, err := conn.QueryContext(w.tenant("globex"), `select body from notes`)
	require.Empty(t, collect(t, rows, err))
	_, err = conn.ExecContext(t.Context(), `select 1`)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	tx, err := conn.BeginTx(w.tenant("acme"), nil)
	require.NoError(t, err)
	rows, err = tx.QueryContext(t.Context(), `select body from notes`) // the transaction's tenant
	require.Equal(t, []string{"a"}, collect(t, rows, err))
	require.NoError(t, tx.Rollback())
}

func TestPingChecksTheRole(t *testing.T) {
	t.Parallel()
	w := open(t)
	require.NoError(t, w.std.PingContext(t.Context()))
	unsafe, err := tenancy.New(w.pg.Owner, nil)
	require.NoError(t, err)
	require.ErrorIs(t, sqldb.Open(unsafe, nil).Ping(), tenancy.ErrUnsafeRole)
	_, err = sqldb.Connector(w.db, nil).Driver().Open("postgres://localhost")
	require.ErrorContains(t, err, "sqldb.Open")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	for _, query := range []string{
		`set search_path = x`, `SET SESSION statement_timeout = 1`, `/* orm */ set role x`, "-- c\nset time zone 'UTC'",
		`reset all`, `discard all`, `listen x`, `prepare p as select 1`, `deallocate all`, `execute p`, `load 'x'`,
		`begin`, `start transaction`, `commit`, `END`, `abort`, `rollback`, `rollback work`,
		`declare c cursor with hold for select 1`, `declare c binary insensitive no scroll cursor with hold for select 1`, `declare c insensitive scroll cursor with hold for select 1`,
		`create table t (a int)`, `create temp table t (a int)`, `alter table notes add x int`, `drop table notes`,
		`grant select on notes to public`, `select 1; set search_path = x`, `savepoint a`, `release a`, `rollback to a`,
		`select 1; commit; select 2`,
	} {
		_, err := w.std.ExecContext(ctx, query)
		require.ErrorIs(t, err, sqldb.ErrRefused, query)
		_, err = w.std.QueryContext(ctx, query)
		require.ErrorIs(t, err, sqldb.ErrRefused, query)
	}
	tx, err := w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	for _, query := range []string{
		`set local statement_timeout = '7s'`, `set constraints all deferred`, `declare c cursor for select 'with hold' as hold`,
		`select ';set x'`, `select 1; select 2`, `-- nothing`,
	} {
		_, err := tx.ExecContext(ctx, query)
		require.NoError(t, err, query)
	}
	require.NoError(t, tx.Commit())
	var timeout string
	require.NoError(t, w.std.QueryRowContext(ctx, `show statement_timeout`).Scan(&timeout))
	require.Equal(t, "0", timeout)
}

func TestErrorsOfPostgreSQLComeThrough(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := w.tenant("acme")
	for _, run := range []func() error{
		func() error { _, err := w.std.ExecContext(ctx, `select 1/$1::int`, 0); return err },
		func() error { _, err := w.std.QueryContext(ctx, `select 1/$1::int`, 0); return err },
		func() error {
			rows, err := w.std.QueryContext(ctx, `select 1/(3-g) from generate_series(1, 3) g`)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		},
	} {
		var pgErr *pgconn.PgError
		require.ErrorAs(t, run(), &pgErr)
		require.Equal(t, "22012", pgErr.Code)
	}
	require.Zero(t, w.pg.App.Stat().AcquiredConns())
	_, err := w.std.QueryContext(ctx, `select 1`, pgx.QueryExecModeSimpleProtocol)
	require.ErrorContains(t, err, "unit of work")
}
