package tenancy_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func TestCheckRefusesRolesThatSeeEverything(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	superuser, err := pgxpool.New(t.Context(), strings.Replace(pg.AppURL, "ashlar_app@", "postgres@", 1))
	require.NoError(t, err)
	t.Cleanup(superuser.Close)
	var logins []string
	t.Cleanup(func() {
		for _, login := range logins {
			_, err := superuser.Exec(context.Background(), "drop role "+login)
			require.NoError(t, err)
		}
	})
	login := func(in string) *pgxpool.Pool {
		t.Helper()
		name := "check_" + strings.ToLower(rand.Text()[:10])
		_, err := superuser.Exec(t.Context(), "create role "+name+" login in role "+in)
		require.NoError(t, err)
		logins = append(logins, name)
		pool, err := pgxpool.New(t.Context(), strings.Replace(pg.AppURL, "ashlar_app@", name+"@", 1))
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	as := func(pool *pgxpool.Pool, role string) *pgxpool.Pool {
		t.Helper()
		cfg := pool.Config()
		cfg.ConnConfig.RuntimeParams["role"] = role
		pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		return pool
	}
	for name, c := range map[string]struct {
		app, system, replica *pgxpool.Pool
		want                 string // "" = safe
	}{
		"app login":              {app: login("tenancy_app"), replica: login("tenancy_app")},
		"both roles":             {app: login("tenancy_app, tenancy_system"), want: "can become tenancy_system, which sees all tenants"},
		"app and owner":          {app: login("tenancy_app, ashlar_owner"), want: "can become ashlar_owner, which owns tables"},
		"app and superuser":      {app: login("tenancy_app, postgres"), want: "can become postgres, which is a superuser"},
		"a superuser's role":     {app: as(superuser, "ashlar_app"), want: "ashlar_app can become postgres, which is a superuser"},
		"a member's role":        {app: as(login("tenancy_app, tenancy_system"), "tenancy_app"), want: "tenancy_app can become tenancy_system, which sees all tenants"},
		"an owner's role":        {app: as(login("ashlar_app, ashlar_owner"), "ashlar_app"), want: "ashlar_app can become ashlar_owner, which owns tables"},
		"a harmless role":        {app: as(login("ashlar_app"), "ashlar_app")},
		"both roles, system":     {app: pg.App, system: login("tenancy_app, tenancy_system")},
		"superuser, replica":     {app: pg.App, replica: superuser, want: "a replica's pool: tenancy: role is not bound by row-level security: postgres is a superuser"},
		"system, replica":        {app: pg.App, replica: pg.System, want: "is no member of tenancy_app"},
		"unreachable as replica": {app: pg.App, replica: unreachable(t)},
		"app alone":              {app: pg.App},
		"app and system":         {app: pg.App, system: pg.System},
		"superuser":              {app: superuser, want: "postgres is a superuser"},
		"owner":                  {app: pg.Owner, want: "owns tables with row-level security"},
		"system as app":          {app: pg.System, want: "is no member of tenancy_app"},
		"superuser, system":      {app: pg.App, system: superuser, want: "is a superuser"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := tenancy.New(c.app, &tenancy.Options{System: c.system, Replicas: replicas(c.replica), Logger: slog.New(slog.DiscardHandler)})
			require.NoError(t, err)
			if err = db.Check(t.Context()); c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, tenancy.ErrUnsafeRole)
			require.ErrorContains(t, err, c.want)
		})
	}
	require.NoError(t, tenancytest.New(t).DB().Check(t.Context()), "a fake has no roles")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	require.ErrorIs(t, db.Check(ended), context.Canceled)
}

func replicas(pools ...*pgxpool.Pool) []*pgxpool.Pool {
	return slices.DeleteFunc(pools, func(p *pgxpool.Pool) bool { return p == nil })
}

func unreachable(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// TestFailedCommitWinsOverRows: rows that One does not like must not hide that
// nothing was committed.
func TestFailedCommitWinsOverRows(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	_, err := pg.Owner.Exec(t.Context(), `create table late (tenant_id text, id int, unique (id) deferrable initially deferred);
		select tenancy.protect('late')`)
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	_, err = tenancy.One[int](ctx, db, `insert into late (id) values (1), (1) returning id`)
	var answer *pgconn.PgError
	require.ErrorAs(t, err, &answer)
	require.Equal(t, "23505", answer.Code)
	_, err = tenancy.One[int](ctx, db, `insert into late (id) values (1), (2) returning id`)
	require.ErrorIs(t, err, pgx.ErrTooManyRows)
	// The same when pgx itself cannot scan: the wrong type, the wrong number of columns, a struct without the column.
	for name, read := range map[string]func(sql string) error{
		"type":   func(sql string) error { _, err := tenancy.One[time.Time](ctx, db, sql); return err },
		"all":    func(sql string) error { _, err := tenancy.All[time.Time](ctx, db, sql); return err },
		"struct": func(sql string) error { _, err := tenancy.One[note](ctx, db, sql); return err },
	} {
		err := read(`insert into late (id) values (8), (8) returning id`)
		require.ErrorAs(t, err, &answer, name)
		require.Equal(t, "23505", answer.Code, name)
		if name == "struct" {
			continue
		}
		err = read(`insert into late (id) select coalesce(max(id), 0) + 1 from late returning id`) // committed, then not understood
		require.False(t, errors.As(err, &answer), name)
		require.ErrorAs(t, err, new(pgx.ScanArgError), name)
	}
	// In a unit, a failed scan hides no failure of the statement itself, and spoils nothing when there is none.
	err = db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tenancy.All[time.Time](ctx, tx, `select 1 / (3 - n) from generate_series(1, 3) n`)
		require.ErrorAs(t, err, &answer)
		require.Equal(t, "22012", answer.Code)
		return nil
	})
	require.ErrorAs(t, err, &answer)
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tenancy.One[time.Time](ctx, tx, `select 1`)
		require.ErrorAs(t, err, new(pgx.ScanArgError))
		_, err = tenancy.One[int](ctx, tx, `select 1`)
		return err
	}))
}

// TestQueuedCallbacksOfABatch: what pgx promises of QueuedQuery holds in a unit.
func TestQueuedCallbacksOfABatch(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		var seen []int
		batch := &pgx.Batch{}
		batch.Queue(`select generate_series(1, 2)`).Query(func(rows pgx.Rows) (err error) {
			seen, err = pgx.CollectRows(rows, pgx.RowTo[int])
			return err
		})
		batch.Queue(insertNote, "x").Exec(func(tag pgconn.CommandTag) error { seen = append(seen, int(tag.RowsAffected())+9); return errRefused })
		batch.Queue(`select 3`).QueryRow(func(row pgx.Row) error { seen = append(seen, 3); return nil })
		require.ErrorIs(t, tx.SendBatch(ctx, batch).Close(), errRefused)
		require.Equal(t, []int{1, 2, 10}, seen, "callbacks end at the first error")
		n, err := tenancy.One[int](ctx, tx, `select count(*)::int from notes`)
		require.Equal(t, 1, n)
		return err
	}))
}
