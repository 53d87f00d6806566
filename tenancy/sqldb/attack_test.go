package sqldb_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

const (
	tenants = 8
	notes   = 50 // of each tenant
)

// attacker does everything that code does with a *sql.DB, right and wrong, and counts what it saw.
type attacker struct {
	t            *testing.T
	std          *sql.DB
	own, foreign *atomic.Int64
}

func (a attacker) read(ctx context.Context, id string, rows *sql.Rows, err error, limit int) {
	unexpected := func(err error) bool {
		if err != nil && ctx.Err() == nil {
			a.t.Error(err)
		}
		return err != nil
	}
	if unexpected(err) {
		return
	}
	for n := 0; n < limit && rows.Next(); n++ {
		var tenant string
		if unexpected(rows.Scan(&tenant)) {
			break
		}
		if tenant == id {
			a.own.Add(1)
		} else {
			a.foreign.Add(1)
		}
	}
	unexpected(rows.Close())
}

// step is one random use for a random tenant.
func (a attacker) step(parent context.Context, r *rand.Rand) {
	id := fmt.Sprint("tenant-", r.IntN(tenants))
	ctx, cancel := context.WithCancel(tenancy.WithID(parent, id))
	defer cancel()
	const all = `select tenant_id from notes`

	switch r.IntN(8) {
	case 0:
		rows, err := a.std.QueryContext(ctx, all)
		a.read(ctx, id, rows, err, notes+1)
	case 1: // left open in the middle
		rows, err := a.std.QueryContext(ctx, all)
		a.read(ctx, id, rows, err, r.IntN(notes))
	case 2: // cancelled in the middle, and not closed by hand
		rows, err := a.std.QueryContext(ctx, all+` cross join generate_series(1, 50)`)
		if err == nil && rows.Next() {
			cancel()
		}
		a.read(ctx, id, rows, err, notes*50+1)
	case 3: // a transaction that nobody ends but its context
		tx, err := a.std.BeginTx(ctx, nil)
		if err == nil {
			rows, err := tx.QueryContext(ctx, all)
			a.read(ctx, id, rows, err, notes+1)
		}
	case 4: // smuggled settings, local and for the session
		_, _ = a.std.ExecContext(ctx, `select set_config('tenancy.tenant', $1, $2)`, fmt.Sprint("tenant-", r.IntN(tenants)), r.IntN(2) == 0)
		rows, err := a.std.QueryContext(ctx, all)
		a.read(ctx, id, rows, err, notes+1)
	case 5: // writes that are undone
		tx, err := a.std.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			a.t.Error(err)
			return
		}
		_, _ = tx.ExecContext(ctx, `savepoint s`)
		if _, err = tx.ExecContext(ctx, `update notes set body = body where id < 3`); err != nil {
			_, _ = tx.ExecContext(ctx, `rollback to s`)
		}
		rows, err := tx.QueryContext(context.WithoutCancel(parent), all)
		if err == nil {
			a.read(ctx, id, rows, nil, notes+1)
		}
		_ = tx.Rollback()
	case 6: // a statement prepared by nobody in particular
		stmt, err := a.std.Prepare(all + ` where id > $1`)
		if err == nil {
			rows, err := stmt.QueryContext(ctx, 0)
			a.read(ctx, id, rows, err, notes+1)
			err = stmt.Close()
			if err != nil {
				a.t.Error(err)
			}
		}
	case 7: // by the ids of others
		rows, err := a.std.QueryContext(ctx, all+` where tenant_id = any($1)`, []string{"tenant-0", "tenant-1", "tenant-2"})
		a.read(ctx, id, rows, err, notes*3)
	}
}

func attack(t *testing.T, std *sql.DB, steps int) (own, foreign int64) {
	var seen [2]atomic.Int64
	a := attacker{t: t, std: std, own: &seen[0], foreign: &seen[1]}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for range steps / 16 {
				a.step(t.Context(), r)
			}
		})
	}
	wg.Wait()
	return seen[0].Load(), seen[1].Load()
}

func fill(w *world) {
	for i := range tenants {
		_, err := w.std.ExecContext(w.tenant(fmt.Sprint("tenant-", i)), `insert into notes (body) select g::text from generate_series(1, $1::int) g`, notes)
		require.NoError(w, err)
	}
}

func TestNoForeignRows(t *testing.T) {
	t.Parallel()
	w := open(t)
	fill(w)
	own, foreign := attack(t, w.std, testenv.Rounds(2_000, 100_000))
	t.Logf("%d own rows, %d foreign", own, foreign)
	require.Zero(t, foreign)
	require.Greater(t, own, int64(10_000))
	require.Eventually(t, func() bool { return w.pg.App.Stat().AcquiredConns() == 0 && w.std.Stats().InUse == 0 }, eventually, tick)
}

// TestNoForeignRowsBehindPgBouncer: in transaction mode, where each unit gets another server connection, with whatever an
// earlier one has left in it.
func TestNoForeignRowsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	pg := open(t).pg
	cfg := testenv.PgBouncer(t, pg).App.Config()
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // it has no prepared statements before 1.21
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := on(t, pg, pool)
	fill(w)
	own, foreign := attack(t, w.std, testenv.Rounds(800, 30_000))
	t.Logf("%d own rows, %d foreign", own, foreign)
	require.Zero(t, foreign)
	require.Greater(t, own, int64(5_000))
}

// TestPlantedSessionTenantLeaks: the habit of setting the tenant once per session leaks, and the attack finds it.
func TestPlantedSessionTenantLeaks(t *testing.T) {
	t.Parallel()
	w := open(t)
	fill(w)
	std := sql.OpenDB(stdlib.GetPoolConnector(w.pg.App))
	defer std.Close()
	var seen [2]atomic.Int64
	a := attacker{t: t, std: std, own: &seen[0], foreign: &seen[1]}
	ctx := t.Context()
	for i := range 50 {
		id := fmt.Sprint("tenant-", i%2)
		if i < 2 {
			conn, err := std.Conn(ctx)
			require.NoError(t, err)
			_, err = conn.ExecContext(ctx, `select set_config('tenancy.tenant', $1, false)`, id)
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}
		rows, err := std.QueryContext(ctx, `select tenant_id from notes`)
		a.read(ctx, id, rows, err, notes)
	}
	require.NotZero(t, seen[1].Load(), "the planted leak was not found")
}

// TestConnectionLost: a broken connection costs its statement an error at most, never an answer from somewhere else.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	w := open(t)
	pool, proxy := through(t, w.pg.AppURL)
	w = on(t, w.pg, pool)
	fill(w)
	ctx := w.tenant("tenant-1")
	tx, err := w.std.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, `update notes set body = body || '!'`)
	require.NoError(t, err)
	proxy.Reset()
	require.Error(t, tx.Commit())
	var n int
	require.NoError(t, w.std.QueryRowContext(ctx, `select count(*) from notes where body like '%!'`).Scan(&n), "the pool has a new connection")
	require.Zero(t, n)

	rows, err := w.std.QueryContext(ctx, `select repeat('x', 10000) from generate_series(1, 10000)`)
	require.NoError(t, err)
	proxy.Reset()
	for rows.Next() {
	}
	require.Error(t, rows.Err())
	require.NoError(t, w.std.PingContext(ctx))
}

// TestManyWaitForOneConnection: a pool of one connection serves 16 goroutines, and waiting ends with the context.
func TestManyWaitForOneConnection(t *testing.T) {
	t.Parallel()
	w := open(t)
	pool, _ := through(t, w.pg.AppURL)
	w = on(t, w.pg, pool)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			_, err := w.std.ExecContext(w.tenant(fmt.Sprint(i)), `insert into notes (body) values ('x')`)
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	tx, err := w.std.BeginTx(w.tenant("0"), nil)
	require.NoError(t, err)
	require.NoError(t, tx.QueryRow(`select 1`).Scan(new(int)))
	ctx, cancel := context.WithTimeout(w.tenant("1"), 50*time.Millisecond)
	defer cancel()
	_, err = w.std.ExecContext(ctx, `select 1`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Rollback())
}
