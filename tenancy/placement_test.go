package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// schemas places each tenant in the schema that it is mapped to.
type schemas map[string]string

func (m schemas) place(_ context.Context, tenant string) (tenancy.Placement, error) {
	return tenancy.Placement{Schema: m[tenant]}, nil
}

const itemsSQL = `create schema %[1]s;
	grant usage on schema %[1]s to tenancy_app, tenancy_system;
	create table %[1]s.items (tenant_id text not null, id int not null, %[2]s, primary key (tenant_id, id));
	select tenancy.protect('%[1]s.items');`

// openSchemas returns a DB whose tenants have schemas of their own with a table items, and a sealed database.
func openSchemas(t *testing.T, m schemas, columns map[string]string) (*tenancy.DB, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	for _, name := range m {
		quoted := pgx.Identifier{name}.Sanitize()
		column := columns[name]
		if column == "" {
			column = "body text"
		}
		_, err := pg.Owner.Exec(t.Context(), fmt.Sprintf(itemsSQL, quoted, column))
		require.NoError(t, err)
	}
	seal := newSeal(t, "k1")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, seal, nil))
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Seal: seal, Place: m.place})
	require.NoError(t, err)
	return db, pg
}

// strange are names that need to be quoted.
var strange = schemas{"acme": "acme", "globex": `Globex "Inc"`, "umbrella": "a, public; drop schema acme -- */", "ümlaut": "ümlaut 🙂", "user": "user"}

func TestSchemaPlacement(t *testing.T) {
	t.Parallel()
	db, pg := openSchemas(t, strange, nil)
	proxy := testenv.Proxy(t, addrOf(t, pg.AppURL))
	one, err := tenancy.New(through(t, pg.AppURL, proxy.Addr), &tenancy.Options{Seal: newSeal(t, "k1"), Place: strange.place})
	require.NoError(t, err)
	for range 3 {
		for tenant, name := range strange {
			ctx := tenancy.WithID(t.Context(), tenant)
			require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				tx.Defer(`insert into items (id, body) values ((select count(*) from items), $1)`, tenant)
				tx.DeferExpect(1, "item", `update items set body = body where id = (select max(id) from items)`)
				tx.Emit(noteAdded{tenant})
				return db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
					got, err := tenancy.One[string](ctx, tx, `select current_schema()`)
					require.Equal(t, name, got)
					return err
				})
			}))
		}
	}
	for tenant, name := range strange {
		ctx := tenancy.WithID(t.Context(), tenant)
		for _, db := range []*tenancy.DB{db, one} {
			bodies, err := tenancy.All[string](ctx, db, `select body from items where body = @body`, pgx.NamedArgs{"body": tenant})
			require.NoError(t, err)
			require.Equal(t, []string{tenant, tenant, tenant}, bodies)
		}
		var n int
		require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from `+pgx.Identifier{name, "items"}.Sanitize()).Scan(&n))
		require.Equal(t, 3, n)
		events, err := tenancy.One[int](tenancy.System(t.Context(), "test"), db, `select count(*)::int from tenancy.outbox where tenant_id = $1`, tenant)
		require.NoError(t, err)
		require.Equal(t, 3, events, "events are where the relay looks for them")

		before := proxy.RoundTrips()
		_, err = tenancy.All[string](ctx, one, `select body from items where body = @body`, pgx.NamedArgs{"body": tenant})
		require.NoError(t, err)
		require.EqualValues(t, 1, proxy.RoundTrips()-before, "a placed read is one round trip")
	}
	// Nothing is left in the session, and no schema is reached by falling through.
	_, err = tenancy.All[note](tenancy.WithID(t.Context(), "acme"), db, `select id, body from notes`)
	require.ErrorContains(t, err, "42P01", "public is not searched")
	var path string
	require.NoError(t, pg.App.QueryRow(t.Context(), `show search_path`).Scan(&path))
	require.Equal(t, `"$user", public`, path)
	// The schema is a place; what keeps tenants apart is still the policy.
	n, err := tenancy.One[int](tenancy.WithID(t.Context(), "globex"), db, `select count(*)::int from acme.items`)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestSharedSchemasAreSearchedLater(t *testing.T) {
	t.Parallel()
	m := schemas{"acme": "acme"}
	_, pg := openSchemas(t, m, nil)
	db, err := tenancy.New(pg.App, &tenancy.Options{Seal: newSeal(t, "k1"), Place: m.place, SharedSchemas: []string{"public"}})
	require.NoError(t, err)
	path, err := tenancy.One[string](tenancy.WithID(t.Context(), "acme"), db, `select current_setting('search_path') from notes right join (select) x on true`)
	require.NoError(t, err)
	require.Equal(t, `"acme", "public", pg_temp`, path)
}

// TestTemporaryTablesDoNotShadow: pg_temp is searched first unless it is named.
func TestTemporaryTablesDoNotShadow(t *testing.T) {
	t.Parallel()
	db, _ := openSchemas(t, schemas{"acme": "acme"}, nil)
	require.NoError(t, db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `create temp table items (body text) on commit drop`)
		require.NoError(t, err)
		n, err := tenancy.One[int](ctx, tx, `select count(tenant_id)::int from items`)
		require.Zero(t, n)
		return err
	}))
}

func TestBadPlacements(t *testing.T) {
	t.Parallel()
	_, pg := openSchemas(t, schemas{}, nil)
	_, err := pg.Owner.Exec(t.Context(), `create schema closed`)
	require.NoError(t, err)
	broken := errors.New("directory is down")
	for want, place := range map[string]tenancy.Placement{
		"at most 63 bytes": {Schema: strings.Repeat("x", 64)},
		"without NUL":      {Schema: "a\x00b"},
		"UTF-8":            {Schema: "\xff"},
		"a meaning of its": {Schema: "pg_temp"},
		"of its own":       {Schema: "$user"},
		"3F000":            {Schema: "nowhere"},
		"no right to use":  {Schema: "closed"},
		"Options.Databas":  {Database: "elsewhere"},
	} {
		db, err := tenancy.New(pg.App, &tenancy.Options{Seal: newSeal(t, "k1"), Retries: -1, Place: func(context.Context, string) (tenancy.Placement, error) {
			return place, nil
		}})
		require.NoError(t, err)
		_, err = tenancy.One[int](tenancy.WithID(t.Context(), "acme"), db, `select 1`)
		require.ErrorContains(t, err, want, "%+v", place)
	}
	db, err := tenancy.New(pg.App, &tenancy.Options{Place: func(context.Context, string) (tenancy.Placement, error) { return tenancy.Placement{}, broken }})
	require.NoError(t, err)
	require.ErrorIs(t, db.Do(tenancy.WithID(t.Context(), "acme"), func(context.Context, *tenancy.Tx) error { return nil }), broken)
	_, err = tenancy.One[int](tenancy.System(t.Context(), "test"), db, `select 1`)
	require.NotErrorIs(t, err, broken, "a unit of no tenant is not placed")
}

// TestDriftedSchemas: the same statements on one connection, in schemas whose tables have other columns and types.
func TestDriftedSchemas(t *testing.T) {
	t.Parallel()
	m := schemas{"a": "a", "b": "b", "c": "c"}
	_, pg := openSchemas(t, m, map[string]string{"a": "v int", "b": "v bigint, extra text", "c": "v text"})
	cfg := pg.App.Config()
	cfg.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.New(pool, &tenancy.Options{Seal: newSeal(t, "k1"), Place: m.place, Retries: -1})
	require.NoError(t, err)
	values := map[string]any{"a": int32(7), "b": int64(1) << 40, "c": "seven"}
	for range 3 {
		for tenant, want := range values {
			require.NoError(t, db.Do(tenancy.WithID(t.Context(), tenant), func(ctx context.Context, tx *tenancy.Tx) error {
				tx.Defer(`delete from items`)
				tx.Defer(`insert into items (id, v) values (1, $1)`, want)
				rows, err := tx.Query(ctx, `select * from items where v = $1`, want)
				if err != nil {
					return err
				}
				all, err := pgx.CollectRows(rows, pgx.RowToMap)
				require.NoError(t, err, tenant)
				require.Len(t, all, 1)
				require.Equal(t, want, all[0]["v"])
				return nil
			}), tenant)
		}
	}
}

// TestTableChangesUnderPreparedStatements: a migration while the program runs costs one retry, in one schema as without.
func TestTableChangesUnderPreparedStatements(t *testing.T) {
	t.Parallel()
	m := schemas{"acme": "acme", "globex": ""}
	db, pg := openSchemas(t, schemas{"acme": "acme"}, nil)
	_, err := pg.Owner.Exec(t.Context(), `create table items (tenant_id text not null, id int not null, body text, primary key (tenant_id, id)); select tenancy.protect('items')`)
	require.NoError(t, err)
	count := &counter{}
	db, err = tenancy.New(pg.App, &tenancy.Options{Seal: newSeal(t, "k1"), Place: m.place, Metrics: count})
	require.NoError(t, err)
	for tenant, name := range map[string]string{"acme": "acme", "globex": "public"} {
		ctx := tenancy.WithID(t.Context(), tenant)
		read := func() (columns int) {
			require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				rows, err := tx.Query(ctx, `select * from items`)
				if err != nil {
					return err
				}
				rows.Close()
				columns = len(rows.FieldDescriptions())
				return rows.Err()
			}))
			return columns
		}
		require.Equal(t, 3, read())
		before := count.get("tenancy.retries")
		_, err := pg.Owner.Exec(t.Context(), `alter table `+name+`.items add column extra text`)
		require.NoError(t, err)
		require.Equal(t, 4, read())
		require.EqualValues(t, 1, count.get("tenancy.retries")-before, tenant)
		require.Equal(t, 4, read())
		all, err := tenancy.All[int](ctx, db, `select id from items`)
		require.NoError(t, err)
		require.Empty(t, all)
	}
}

// TestPlaceIsAskedOncePerUnit: nested units stay, and what Place looks up in the same DB is not placed.
func TestPlaceIsAskedOncePerUnit(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	_, err := pg.Owner.Exec(t.Context(), fmt.Sprintf(itemsSQL, "acme", "body text")+`create table directory (tenant_id text not null, place text not null);
		select tenancy.protect('directory')`)
	require.NoError(t, err)
	var mu sync.Mutex
	var db *tenancy.DB
	asked, moved := 0, false
	db, err = tenancy.New(pg.App, &tenancy.Options{System: pg.System, Place: func(ctx context.Context, id string) (p tenancy.Placement, err error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		if moved {
			return tenancy.Placement{Schema: "moved"}, nil
		}
		p.Schema, err = tenancy.One[string](tenancy.System(ctx, "look up the place"), db, `select place from directory where tenant_id = $1`, id)
		return p, err
	}})
	require.NoError(t, err)
	_, err = pg.System.Exec(t.Context(), `insert into directory (tenant_id, place) values ('acme', 'acme')`)
	require.NoError(t, err)
	require.NoError(t, db.Do(tenancy.WithID(t.Context(), "acme"), func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `insert into items (id, body) values (1, 'x')`)
		require.NoError(t, err)
		mu.Lock()
		moved = true
		mu.Unlock()
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `insert into items (id, body) values (2, 'x')`)
			return err
		}))
		n, err := tenancy.One[int](ctx, db, `select count(*)::int from items`)
		require.Equal(t, 2, n)
		return err
	}))
	require.Equal(t, 1, asked)
	_, err = tenancy.One[int](tenancy.WithID(t.Context(), "acme"), db, `select count(*)::int from items`)
	var answer *pgconn.PgError
	require.ErrorAs(t, err, &answer)
	require.Equal(t, "3F000", answer.Code, "the next unit goes to the new place")
}

// TestPlacedUnitsLeaveNothingBehind: several statements in one text go to the bare connection, in a schema of one's own too.
func TestPlacedUnitsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	m := schemas{"acme": "acme", "globex": "globex"}
	db, _ := openSchemas(t, m, nil)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	for range 5 {
		require.NoError(t, db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
			_, err := tx.Exec(ctx, `set my.secret = 'of acme'; select 1`)
			return err
		}))
		left, err := tenancy.One[string](globex, db, `select coalesce(current_setting('my.secret', true), '')`)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
