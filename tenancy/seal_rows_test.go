package tenancy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// TestRowDefaultIsNotATrapdoor: the default of tenant columns is not verified, the policy is. Rows of no other tenant come
// to be, by no value, in one statement or many.
func TestRowDefaultIsNotATrapdoor(t *testing.T) {
	t.Parallel()
	db, pg := openSealed(t)
	other := sealedValue(t, db, "globex")
	for _, value := range []string{"globex", "\x02" + strings.Repeat("0", 64) + "k1:globex", "\x02:globex", other[1:]} {
		for _, sql := range []string{
			`insert into notes (body) select 'x' from (select set_config('tenancy.tenant', $1, true) offset 0) x`,
			`insert into notes (body) values (set_config('tenancy.tenant', $1, true))`,
			`with x as materialized (select set_config('tenancy.tenant', $1, true) v) insert into notes (body) select v from x`,
			`insert into notes (body) select coalesce(case when n = 2 then set_config('tenancy.tenant', $1, true) end, 'x') from generate_series(1, 3) n`,
		} {
			refused(t, db, "", sql, value)
		}
	}
	ctx := tenancy.WithID(t.Context(), "acme")
	rows, err := tenancy.All[string](ctx, db, `insert into notes (body) select 'x' from generate_series(1, 3) returning tenant_id`)
	require.NoError(t, err)
	require.Equal(t, []string{"acme", "acme", "acme"}, rows)
	var tenants []string
	require.NoError(t, pg.System.QueryRow(t.Context(), `select array_agg(distinct tenant_id) from notes`).Scan(&tenants))
	require.Equal(t, []string{"acme"}, tenants)
	_, err = tenancy.One[int](tenancy.System(t.Context(), "test"), db, `insert into notes (body) values ('x') returning 1`)
	require.ErrorContains(t, err, "no tenant in this transaction")
}

// TestMutatedSealsAreRefused changes, cuts and mixes right values at random; none but the right ones is taken.
func TestMutatedSealsAreRefused(t *testing.T) {
	t.Parallel()
	db, pg := openSealed(t)
	_, err := pg.Owner.Exec(t.Context(), `create function try_tenant(value text) returns text language plpgsql as $$
		begin
			perform set_config('tenancy.tenant', value, true);
			return tenancy.tenant_id();
		exception when insufficient_privilege then return null;
		end $$`)
	require.NoError(t, err)
	own, other := sealedValue(t, db, "acme"), sealedValue(t, db, "globex")
	values := []string{own, other}
	const letters = "\x01\x02:0123456789abcdefk1acmeglobx é"
	for range testenv.Rounds(5000, 100000) {
		v := []rune([]string{own, other}[rand.IntN(2)])
		for range 1 + rand.IntN(3) {
			at := rand.IntN(len(v))
			switch rand.IntN(4) {
			case 0:
				v[at] = []rune(letters)[rand.IntN(len([]rune(letters)))]
			case 1:
				v = slices.Delete(v, at, at+1)
			case 2:
				v = slices.Insert(v, at, []rune(letters)[rand.IntN(len([]rune(letters)))])
			case 3:
				v = append(v[:at:at], []rune(other)[min(at, len(other)-1):]...)
			}
		}
		values = append(values, string(v))
	}
	taken := 0
	rows, err := pg.App.Query(t.Context(), `select v, try_tenant(v) from unnest($1::text[]) v`, values)
	require.NoError(t, err)
	var value string
	var tenant *string
	_, err = pgx.ForEachRow(rows, []any{&value, &tenant}, func() error {
		if tenant != nil {
			taken++
			require.Contains(t, []string{own, other}, value, "taken as %q", *tenant)
		}
		return nil
	})
	require.NoError(t, err)
	require.GreaterOrEqual(t, taken, 2, "the right values are taken")
}

// TestSealBehindPgBouncer: many tenants over few server connections in transaction mode, in schemas of their own.
func TestSealBehindPgBouncer(t *testing.T) {
	t.Parallel()
	_, pg := openSchemas(t, schemas{"a": "a", "b": "b", "c": "c"}, nil)
	cfg := testenv.PgBouncer(t, pg).App.Config()
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec // this PgBouncer has no prepared statements
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, err := tenancy.New(pool, &tenancy.Options{Seal: newSeal(t, "k1"), Place: schemas{"a": "a", "b": "b", "c": "c"}.place})
	require.NoError(t, err)
	var wg sync.WaitGroup
	errs := make([]error, 9)
	for i := range errs {
		wg.Go(func() {
			tenant := string("abc"[i%3])
			for n := range testenv.Rounds(30, 300) {
				errs[i] = errors.Join(errs[i], db.Do(tenancy.WithID(t.Context(), tenant), func(ctx context.Context, tx *tenancy.Tx) error {
					tx.Defer(`insert into items (id, body) values ($1, current_schema())`, i+9*n)
					got, err := tenancy.All[string](ctx, tx, `select distinct tenant_id || current_schema() || body from items`)
					if err == nil && (len(got) != 1 || got[0] != tenant+tenant+tenant) {
						err = fmt.Errorf("%s saw %v", tenant, got)
					}
					return err
				}))
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

// TestSealInAnotherEncoding: the MAC is over UTF-8, whatever the database and the session store text in.
func TestSealInAnotherEncoding(t *testing.T) {
	t.Parallel()
	_, pg := openSealed(t)
	name := pg.Owner.Config().ConnConfig.Database
	_, err := pg.Owner.Exec(t.Context(), `create database `+name+`_latin encoding latin1 template template0 lc_collate 'C' lc_ctype 'C'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pg.Owner.Exec(context.Background(), `drop database `+name+`_latin`)
		require.NoError(t, err)
	})
	connect := func(pool *pgxpool.Pool, encoding string) *pgxpool.Pool {
		cfg := pool.Config()
		cfg.ConnConfig.Database += "_latin"
		cfg.ConnConfig.RuntimeParams["client_encoding"] = encoding
		other, err := pgxpool.NewWithConfig(t.Context(), cfg)
		require.NoError(t, err)
		t.Cleanup(other.Close)
		return other
	}
	owner := connect(pg.Owner, "LATIN1")
	names, err := fs.Glob(tenancy.Migrations, "*.sql")
	require.NoError(t, err)
	for _, name := range names {
		file, err := fs.ReadFile(tenancy.Migrations, name)
		require.NoError(t, err)
		_, err = owner.Exec(t.Context(), string(file))
		require.NoError(t, err, name)
	}
	seal := newSeal(t, "k1")
	require.NoError(t, tenancy.InstallSeal(t.Context(), owner, seal, nil))
	db, err := tenancy.New(connect(pg.App, "UTF8"), &tenancy.Options{Seal: seal, Retries: -1})
	require.NoError(t, err)
	for _, id := range []string{"acme", "é", "Größe: 5"} {
		got, err := tenancy.One[string](tenancy.WithID(t.Context(), id), db, `select tenancy.tenant_id()`)
		require.NoError(t, err)
		require.Equal(t, id, got)
	}
	_, err = tenancy.One[string](tenancy.WithID(t.Context(), "日本"), db, `select tenancy.tenant_id()`)
	require.ErrorContains(t, err, "22P05", "what the database cannot store is an error, not another tenant")
	// pgx always sends UTF-8. A session that takes it for something else would name another tenant; it is refused.
	wrong, err := tenancy.New(connect(pg.App, "LATIN1"), &tenancy.Options{Seal: seal, Retries: -1})
	require.NoError(t, err)
	_, err = tenancy.One[string](tenancy.WithID(t.Context(), "é"), wrong, `select tenancy.tenant_id()`)
	require.ErrorContains(t, err, "does not fit")
}
