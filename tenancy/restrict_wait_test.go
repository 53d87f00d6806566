package tenancy_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
)

// TestRestrictInsideOfAUnit is refused, also in one of another DB on the same database, for which it would wait for ever.
func TestRestrictInsideOfAUnit(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	other, err := tenancy.New(pg.App, &tenancy.Options{Seal: newSeal(t, "k1")})
	require.NoError(t, err)
	acme := tenancy.WithID(t.Context(), "acme")
	var refusals []error
	restrict := func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		refusals = append(refusals, db.Restrict(ctx, tenancy.ReadOnly))
	}
	unit := func(ctx context.Context, db *tenancy.DB, fn func(ctx context.Context)) {
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `select from notes`)
			fn(ctx)
			return err
		}))
	}
	unit(acme, db, restrict)
	unit(acme, other, restrict)
	unit(acme, db, func(ctx context.Context) { unit(ctx, other, restrict) })
	unit(acme, db, func(ctx context.Context) { // a hook of the inner unit, while the outer one is open
		unit(ctx, other, func(ctx context.Context) { tenancy.Hooks{}.OnCommit(ctx, restrict) })
	})
	require.Len(t, refusals, 4)
	for n, err := range refusals {
		require.ErrorContains(t, err, "inside of a unit", "case %d", n)
	}
	_, err = db.Exec(acme, insertNote, "x")
	require.NoError(t, err, "nothing was restricted")
}

// looks counts the statements of a pool that read locks for the end of transactions, and when the first and the latest began.
type looks struct {
	mu          sync.Mutex
	n           int
	first, last time.Time
	enough      func()
}

func (l *looks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}
func (l *looks) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}
func (l *looks) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}
func (l *looks) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}
func (l *looks) TraceBatchQuery(_ context.Context, _ *pgx.Conn, q pgx.TraceBatchQueryData) {
	if !strings.Contains(q.SQL, "exists (select from pg_locks") {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n == 1 {
		l.first = time.Now()
	}
	if l.last = time.Now(); l.n == 6 {
		l.enough()
	}
}

// TestRestrictLooksLessOften the longer it waits. Five pauses of at least 10, 20, 40, 80 and 160 ms lie between six looks.
func TestRestrictLooksLessOften(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	acme := tenancy.WithID(t.Context(), "acme")
	enough := make(chan struct{})
	l := &looks{enough: func() { close(enough) }}
	cfg := pg.System.Config()
	cfg.ConnConfig.Tracer = l
	system, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(system.Close)
	mover, err := tenancy.New(pg.App, &tenancy.Options{System: system, Place: everywhere})
	require.NoError(t, err)
	done := make(chan error, 1)
	require.NoError(t, db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `select from notes`)
		go func() { done <- mover.Restrict(acme, tenancy.ReadOnly) }()
		<-enough
		return err
	}))
	require.NoError(t, <-done)
	require.GreaterOrEqual(t, l.last.Sub(l.first), 300*time.Millisecond)
}

// TestRestrictWaitsForRolesThatWereSet: the units of a pool that logs in as a superuser and sets its role are bound by the
// restriction, and pg_stat_activity shows the superuser.
func TestRestrictWaitsForRolesThatWereSet(t *testing.T) {
	t.Parallel()
	db, pg := openPlaced(t)
	cfg, err := pgxpool.ParseConfig(strings.Replace(pg.AppURL, "ashlar_app@", "postgres@", 1))
	require.NoError(t, err)
	cfg.ConnConfig.RuntimeParams["role"] = "ashlar_app"
	app, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(app.Close)
	set, err := tenancy.New(app, &tenancy.Options{Seal: newSeal(t, "k1"), Place: everywhere})
	require.NoError(t, err)
	acme := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, set.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `select from notes`)
		require.NoError(t, err)
		short, cancel := context.WithTimeout(acme, 100*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, db.Restrict(short, tenancy.ReadOnly), context.DeadlineExceeded)
		_, err = tx.Exec(ctx, insertNote, "x")
		return err
	}))
	require.NoError(t, db.Restrict(acme, tenancy.ReadOnly))
	_, err = set.Exec(acme, insertNote, "x")
	require.ErrorIs(t, err, tenancy.ErrReadOnly)
}
