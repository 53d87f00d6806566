package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// sqlcTx and queries are what sqlc generates.
type sqlcTx interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
	SendBatch(context.Context, *pgx.Batch) pgx.BatchResults
	CopyFrom(context.Context, pgx.Identifier, []string, pgx.CopyFromSource) (int64, error)
}

type queries struct{ db sqlcTx }

func (q *queries) withTx(tx pgx.Tx) *queries { return &queries{db: tx} }

func (q *queries) addNote(ctx context.Context, body string) (n note, err error) {
	err = q.db.QueryRow(ctx, `-- name: AddNote :one
insert into notes (body) values ($1) returning id, body`, body).Scan(&n.ID, &n.Body)
	return n, err
}

func (q *queries) notes(ctx context.Context) ([]note, error) {
	rows, err := q.db.Query(ctx, `select id, body from notes order by id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []note
	for rows.Next() {
		var n note
		if err := rows.Scan(&n.ID, &n.Body); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// TestTxIsAPgxTx uses a unit the way code does that knows pgx only: sqlc, pgx's collectors, nested transactions.
func TestTxIsAPgxTx(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		q := &queries{db: tx}
		first, err := q.addNote(ctx, "first")
		require.NoError(t, err)
		require.Equal(t, "first", first.Body)

		outer, err := tx.Begin(ctx)
		require.NoError(t, err)
		_, err = q.withTx(outer).addNote(ctx, "outer")
		require.NoError(t, err)
		inner, err := outer.Begin(ctx)
		require.NoError(t, err)
		_, err = q.withTx(inner).addNote(ctx, "inner")
		require.NoError(t, err)
		require.NoError(t, inner.Rollback(ctx))
		require.ErrorIs(t, inner.Rollback(ctx), pgx.ErrTxClosed, "as pgx says on the second end, so that it can be deferred")
		require.NoError(t, outer.Commit(ctx))
		require.ErrorIs(t, outer.Commit(ctx), pgx.ErrTxClosed)

		list, err := q.notes(ctx)
		require.NoError(t, err)
		require.Len(t, list, 2)
		rows, err := tx.Query(ctx, `select id, body from notes order by id`)
		require.NoError(t, err)
		collected, err := pgx.CollectRows(rows, pgx.RowToStructByPos[note])
		require.NoError(t, err)
		require.Equal(t, list, collected)
		rows, err = tx.Query(ctx, `select id, body from notes order by id`)
		require.NoError(t, err)
		byName, err := pgx.CollectRows(rows, pgx.RowToMap)
		require.NoError(t, err)
		require.Equal(t, "outer", byName[1]["body"])
		var n note
		seen := 0
		rows, _ = tx.Query(ctx, `select id, body from notes`)
		tag, err := pgx.ForEachRow(rows, []any{&n.ID, &n.Body}, func() error { seen++; return nil })
		require.NoError(t, err)
		require.EqualValues(t, 2, tag.RowsAffected())
		require.Equal(t, 2, seen)
		return nil
	}))
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		one, err := tx.Begin(ctx)
		require.NoError(t, err)
		two, err := one.Begin(ctx)
		require.NoError(t, err)
		require.Error(t, one.Commit(ctx), "the inner one is still open")
		require.NoError(t, two.Commit(ctx))
		return nil
	})
	require.Error(t, err, "a savepoint was ended out of order")
}

// TestSharedTxIsRefusedNotGarbled uses one unit from many goroutines, with contexts of two tenants, until it is over:
// every answer is the right one or a typed refusal, and no connection is lost.
func TestSharedTxIsRefusedNotGarbled(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	db, pool := single(t, pg.App)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	before := backend(t, pool)
	var done, busy, mismatch atomic.Int64
	for range testenv.Rounds(3, 50) {
		var wg sync.WaitGroup
		stop := make(chan struct{})
		err := db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
			for worker := range 6 {
				wg.Go(func() {
					for i := 0; ; i++ {
						want := fmt.Sprint(worker, " ", i)
						ctx := acme
						if i%5 == 4 {
							ctx = globex
						}
						got, err := useShared(ctx, tx, worker, want)
						switch {
						case err == nil && ctx == globex:
							t.Error("another tenant was served")
						case err == nil:
							if got != want {
								t.Errorf("got %q, want %q", got, want)
							}
						case errors.Is(err, tenancy.ErrTxBusy):
							busy.Add(1)
						case errors.Is(err, tenancy.ErrTenantMismatch):
							mismatch.Add(1)
						case errors.Is(err, tenancy.ErrTxDone):
							done.Add(1)
							return
						default:
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Go(func() { <-stop })
			for range 200 {
				if _, err := useShared(ctx, tx, 0, "x"); err != nil && !errors.Is(err, tenancy.ErrTxBusy) {
					t.Error(err)
				}
			}
			close(stop)
			return errRefused
		})
		wg.Wait()
		require.ErrorIs(t, err, errRefused)
	}
	require.Equal(t, before, backend(t, pool), "the connection is still there")
	require.NotZero(t, busy.Load())
	require.NotZero(t, mismatch.Load())
	require.NotZero(t, done.Load())
	n, err := tenancy.One[int](acme, db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Zero(t, n)
}

// useShared runs one of several kinds of statements that return want.
func useShared(ctx context.Context, tx *tenancy.Tx, kind int, want string) (got string, err error) {
	switch kind % 4 {
	case 0:
		err = tx.QueryRow(ctx, `select $1::text`, want).Scan(&got)
	case 1:
		got, err = tenancy.One[string](ctx, tx, `select $1::text from generate_series(1, 1)`, want)
	case 2:
		b := &pgx.Batch{}
		b.Queue(`select $1::text`, want).QueryRow(func(row pgx.Row) error { return row.Scan(&got) })
		err = tx.SendBatch(ctx, b).Close()
	default:
		_, err = tx.Exec(ctx, `insert into notes (body) values ($1)`, want)
		got = want
	}
	return got, err
}
