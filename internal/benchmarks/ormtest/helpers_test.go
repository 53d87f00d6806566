package ormtest

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/sqldb"
)

//go:embed schema.sql
var schemaSQL []byte

// lab is a database with authors and books.
type lab struct {
	*devstack.Database
	db  *tenancy.DB
	std *sql.DB
}

func open(t *testing.T, mode pgx.QueryExecMode) *lab {
	t.Helper()
	all, err := devstack.TestDatabases()
	require.NoError(t, err)
	pg, err := all.New(t.Context(), tenancy.Migrations, fstest.MapFS{"1.sql": {Data: schemaSQL}})
	require.NoError(t, err)
	t.Cleanup(func() { pg.End(t) })
	cfg, err := pgxpool.ParseConfig(pg.AppURL)
	require.NoError(t, err)
	cfg.ConnConfig.DefaultQueryExecMode, cfg.MaxConns = mode, 4
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.New(pool, nil)
	require.NoError(t, err)
	std := sqldb.Open(db, nil)
	t.Cleanup(func() { require.NoError(t, std.Close()) })
	return &lab{pg, db, std}
}

func tenant(t *testing.T, id string) context.Context { return tenancy.WithID(t.Context(), id) }

// orm is what the tests below do with each of them.
type orm interface {
	// AddAuthor inserts an author with books in one transaction and returns the id.
	AddAuthor(ctx context.Context, name string, tags []string, titles ...string) (int64, error)
	// Titles loads the author through the relation.
	Titles(ctx context.Context, author int64) (tags []string, titles []string, err error)
	// Names lists all authors without any condition.
	Names(ctx context.Context) ([]string, error)
	// Rename updates by id and returns how many rows that changed.
	Rename(ctx context.Context, author int64, name string) (int64, error)
	// Delete deletes by id and returns how many rows that deleted.
	Delete(ctx context.Context, author int64) (int64, error)
	// Raw counts by hand-written SQL.
	Raw(ctx context.Context, tenant string) (n int, err error)
	// Nested adds two authors in a transaction, the second one twice in nested transactions of which the last fails.
	Nested(ctx context.Context, first, second string) error
	// Migrate lets the ORM change the schema.
	Migrate(ctx context.Context) error
}

var errRefused = errors.New("refused")

// suite is the same for all ORMs.
func suite(t *testing.T, l *lab, o orm) {
	acme, globex := tenant(t, "acme"), tenant(t, "globex")
	id, err := o.AddAuthor(acme, "Ada; --'", []string{"a", "b c", `"`}, "One", "Two")
	require.NoError(t, err)
	_, err = o.AddAuthor(globex, "Grace", nil, "Three")
	require.NoError(t, err)

	tags, titles, err := o.Titles(acme, id)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b c", `"`}, tags)
	require.Equal(t, []string{"One", "Two"}, titles)
	_, titles, err = o.Titles(globex, id)
	require.ErrorIs(t, err, sql.ErrNoRows)
	require.Empty(t, titles)
	names, err := o.Names(globex)
	require.NoError(t, err)
	require.Equal(t, []string{"Grace"}, names)

	for ctx, want := range map[context.Context]int64{globex: 0, acme: 1} {
		n, err := o.Rename(ctx, id, "Ada")
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	n, err := o.Raw(globex, "acme")
	require.NoError(t, err)
	require.Zero(t, n, "not even if the SQL asks for another tenant")
	n, err = o.Raw(acme, "acme")
	require.NoError(t, err)
	require.Equal(t, 1, n)

	_, err = o.Names(t.Context())
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	_, err = o.AddAuthor(t.Context(), "Nobody", nil)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)
	err = o.Migrate(acme)
	require.True(t, errors.Is(err, sqldb.ErrRefused) || errors.Is(err, tenancy.ErrNoTenant), "%v", err) // ent looks around without a context first

	require.NoError(t, o.Nested(acme, "Barbara", "Edsger"))
	names, err = o.Names(acme)
	require.NoError(t, err)
	require.Equal(t, []string{"Ada", "Barbara", "Edsger"}, names)

	joins(t, l, o, acme)

	n64, err := o.Delete(globex, id)
	require.NoError(t, err)
	require.Zero(t, n64)
	n64, err = o.Delete(acme, id)
	require.NoError(t, err)
	require.EqualValues(t, 1, n64)
	crowd(t, o)
	require.Zero(t, l.std.Stats().InUse)
}

// joins: an ORM inside of a unit of work shares its fate, events included.
func joins(t *testing.T, l *lab, o orm, ctx context.Context) {
	work := func(result error) error {
		return l.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			if _, err := o.AddAuthor(ctx, "Joined", nil, "Book"); err != nil {
				return err
			}
			if err := tenancy.Emit(ctx, "author.added", "", []byte(`{}`)); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRow(ctx, `select count(*) from books where title = 'Book'`).Scan(&n); err != nil || n != 1 {
				return fmt.Errorf("%d books, %w", n, err)
			}
			return result
		})
	}
	require.ErrorIs(t, work(errRefused), errRefused)
	names, err := o.Names(ctx)
	require.NoError(t, err)
	require.NotContains(t, names, "Joined")
	require.NoError(t, work(nil))
	var events int
	require.NoError(t, l.System.QueryRow(ctx, `select count(*) from tenancy.outbox`).Scan(&events))
	require.Equal(t, 1, events)
}

// crowd: many tenants at once, each of which sees what it wrote and nothing else.
func crowd(t *testing.T, o orm) {
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			id := fmt.Sprint("crowd-", g)
			ctx := tenant(t, id)
			for i := range 10 {
				if _, err := o.AddAuthor(ctx, fmt.Sprint(id, "/", i), nil, id); err != nil {
					t.Error(err)
					return
				}
				names, err := o.Names(ctx)
				if err != nil || len(names) != i+1 {
					t.Errorf("%s sees %d authors, want %d: %v %v", id, len(names), i+1, names, err)
					return
				}
			}
		})
	}
	wg.Wait()
}
