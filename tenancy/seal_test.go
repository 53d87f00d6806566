package tenancy_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

func newSeal(t testing.TB, kid string) *tenancy.Seal {
	t.Helper()
	seal, err := tenancy.NewSeal(kid, []byte("the secret of key "+kid+", which is long enough"))
	require.NoError(t, err)
	return seal
}

// openSealed returns a DB in a database that requires seal k1.
func openSealed(t *testing.T) (*tenancy.DB, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	seal := newSeal(t, "k1")
	require.NoError(t, tenancy.InstallSeal(t.Context(), pg.Owner, seal, nil))
	return sealedDB(t, pg, seal), pg
}

func sealedDB(t *testing.T, pg *testenv.PG, seal *tenancy.Seal) *tenancy.DB {
	t.Helper()
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System, Seal: seal, Retries: -1})
	require.NoError(t, err)
	return db
}

// sealedValue returns what the DB sets for a tenant.
func sealedValue(t *testing.T, db *tenancy.DB, tenant string) string {
	t.Helper()
	v, err := tenancy.One[string](tenancy.WithID(t.Context(), tenant), db, `select current_setting('tenancy.tenant')`)
	require.NoError(t, err)
	return v
}

// refused runs sql as tenant acme and wants nothing but the refusal, with the text.
func refused(t *testing.T, db *tenancy.DB, text, sql string, args ...any) {
	t.Helper()
	ctx := tenancy.WithID(t.Context(), "acme")
	err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	})
	var answer *pgconn.PgError
	require.ErrorAs(t, err, &answer, sql)
	require.Equal(t, "42501", answer.Code, "%s: %v", sql, err)
	require.Contains(t, answer.Message, text, sql)
}

// injections are ways to name another tenant from within a statement; %s is the value, %t whether it is local.
var injections = []string{
	`select body from notes where set_config('tenancy.tenant', $1, %t) is not null`,
	`select body from notes where (select set_config('tenancy.tenant', $1, %t)) is not null`,
	`select body from (select set_config('tenancy.tenant', $1, %t) offset 0) x, notes`,
	`with x as materialized (select set_config('tenancy.tenant', $1, %t) v) select body from x, notes where x.v is not null`,
	`select coalesce((select body from notes limit 1), set_config('tenancy.tenant', $1, %t)) from (select set_config('tenancy.tenant', $1, true) offset 0) x`,
	`select string_agg(set_config('tenancy.tenant', $1, %t), ''), (select string_agg(body, '') from notes) from generate_series(1, 2)`,
	`select lower(body) from notes, lateral (select set_config('tenancy.tenant', $1, %t)) x`,
	`select body from notes order by set_config('tenancy.tenant', $1, %t)`,
	`select set_config('tenancy.tenant', $1, %t) union all select body from notes`,
	`update notes set body = set_config('tenancy.tenant', $1, %t) returning body`,
	`insert into notes (body) select set_config('tenancy.tenant', $1, %t) returning (select string_agg(body, '') from notes)`,
}

// attack injects value as acme into every kind of statement, reads the notes once more afterwards, and returns what it saw.
func attack(t *testing.T, db *tenancy.DB, value string) (seen []string, refusals int) {
	t.Helper()
	ctx := tenancy.WithID(t.Context(), "acme")
	for _, sql := range injections {
		for _, local := range []bool{true, false} {
			err := db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				for _, q := range []struct {
					sql  string
					args []any
				}{{fmt.Sprintf(sql, local), []any{value}}, {`select body from notes`, nil}} {
					rows, err := tx.Query(ctx, q.sql, q.args...)
					if err != nil {
						return err
					}
					for rows.Next() {
						values, err := rows.Values()
						if err != nil {
							return err
						}
						seen = append(seen, fmt.Sprint(values...))
					}
					if err := rows.Err(); err != nil {
						return err
					}
				}
				return nil
			})
			var answer *pgconn.PgError
			if err != nil {
				require.ErrorAs(t, err, &answer, sql)
				require.Equal(t, "42501", answer.Code, "%s: %v", sql, err)
				refusals++
			}
		}
	}
	return seen, refusals
}

func foreign(seen []string) (n int) {
	for _, s := range seen {
		if strings.Contains(s, "globex note") {
			n++
		}
	}
	return n
}

func TestInjectedTenantIsRefused(t *testing.T) {
	t.Parallel()
	db, _ := openSealed(t)
	seed(t, db, "acme", "globex")
	own, other := sealedValue(t, db, "acme"), sealedValue(t, db, "globex")
	forged := []string{
		"globex",
		own[:65] + "k1:globex", // the seal of acme
		own[:64] + "k1:globex",
		own[1:65] + "k1:globex",
		"\x02" + strings.Repeat("0", 64) + "k1:globex",
		"\x02" + strings.Repeat("0", 64) + "k9:globex",
		"\x02" + strings.Repeat("0", 64) + ":globex",
		"\x02globex",
		"\x02:globex",
		other[1:],
		other + " ",
		strings.ToUpper(other[:65]) + other[65:],
		hex.EncodeToString([]byte(other)),
		"\n" + other,
		own[:65] + own[65:67] + ":" + "acme:globex",
	}
	for _, value := range forged {
		seen, refusals := attack(t, db, value)
		require.Zero(t, foreign(seen), value)
		require.Equal(t, 2*len(injections), refusals, "every unit ends in a refusal: %q", value)
	}
	// A seal works for its tenant and for no other.
	seen, refusals := attack(t, db, own)
	require.Zero(t, foreign(seen))
	require.Zero(t, refusals)
	require.GreaterOrEqual(t, len(seen), 2*len(injections), "the attack reads what it may read")
	// What was set for the session is not there for the next unit, and refused outside of one.
	n, err := tenancy.One[int](tenancy.WithID(t.Context(), "globex"), db, `select count(*)::int from notes`)
	require.NoError(t, err)
	require.Equal(t, 5, n)
}

// TestUnsealedDatabaseLetsTheInjectionThrough is the planted fault: without a key the same attack succeeds, and is seen.
func TestUnsealedDatabaseLetsTheInjectionThrough(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	seed(t, db, "acme", "globex")
	seen, _ := attack(t, db, "globex")
	require.Positive(t, foreign(seen))
	err := sealedDB(t, testenv.Postgres(t, tenancy.Migrations, schema), newSeal(t, "k1")).Check(t.Context())
	require.ErrorIs(t, err, tenancy.ErrUnsealed)
}

// TestSealIsRequiredOfAllRoles: whatever is not sealed right fails, also for the system role, with a text that tells why.
func TestSealIsRequiredOfAllRoles(t *testing.T) {
	t.Parallel()
	db, pg := openSealed(t)
	value := sealedValue(t, db, "acme")
	for name, pool := range map[string]*pgxpool.Pool{"app": pg.App, "system": pg.System, "owner": pg.Owner} {
		for value, text := range map[string]string{
			"":                                "no tenant in this transaction",
			"acme":                            "is not sealed",
			value[1:]:                         "is not sealed",
			" " + value:                       "is not sealed",
			value[:65]:                        "unknown or retired key",
			value[:1]:                         "unknown or retired key",
			value[:64] + "k1:acme":            "unknown or retired key",
			value[:65] + "k1acme":             "unknown or retired key",
			value[:65] + "K1:acme":            "unknown or retired key",
			value[:65] + "k2:acme":            "unknown or retired key",
			value[:65] + "k1:acm":             "does not fit",
			value[:65] + "k1:acme:":           "does not fit",
			value[:65] + "k1:":                "does not fit",
			"\x02" + value[2:65] + "fk1:acme": "does not fit",
		} {
			var tenant string
			err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), `select set_config('tenancy.tenant', $1, true)`, value)
				require.NoError(t, err)
				return tx.QueryRow(t.Context(), `select tenancy.tenant_id()`).Scan(&tenant)
			})
			var answer *pgconn.PgError
			require.ErrorAs(t, err, &answer, "%s %q", name, value)
			require.Equal(t, "42501", answer.Code)
			require.Contains(t, answer.Message, text, "%s %q", name, value)
			require.NotEmpty(t, answer.Hint)
			require.NotContains(t, answer.Message+answer.Hint+answer.Detail, "acme", "an error carries no value")
		}
	}
	system := tenancy.System(t.Context(), "test")
	none, err := tenancy.One[string](system, db, `select tenancy.tenant_or_none()`)
	require.NoError(t, err)
	require.Empty(t, none, "a system unit needs no tenant")
	acme, err := tenancy.One[string](tenancy.System(tenancy.WithID(t.Context(), "acme"), "test"), db, `select tenancy.tenant_or_none()`)
	require.NoError(t, err)
	require.Equal(t, "acme", acme)
	refused(t, db, "is not sealed", `select set_config('tenancy.tenant', 'x', true), (select tenancy.tenant_or_none())`)
}

// TestSealCannotBeUndermined tries what the app role could do to the verification itself.
func TestSealCannotBeUndermined(t *testing.T) {
	t.Parallel()
	db, pg := openSealed(t)
	seed(t, db, "acme", "globex")
	for _, sql := range []string{
		`select * from tenancy.seal_key`,
		`insert into tenancy.seal_key values ('x', decode(repeat('00', 64), 'hex'), decode(repeat('00', 64), 'hex'), true)`,
		`delete from tenancy.seal_key`,
		`update tenancy.seal_key set required = false`,
		`create or replace function tenancy.tenant_id() returns text language sql as $$ select 'globex' $$`,
		`create function tenancy.sha256(bytea) returns bytea language sql as $$ select '\x00'::bytea $$`,
		`drop function tenancy.tenant_or_none()`,
		`alter function tenancy.tenant_id() security invoker`,
		`alter table tenancy.seal_key disable row level security`,
		`set local role ashlar_owner; select * from tenancy.seal_key`,
		`set local role tenancy_system`,
		`set session authorization ashlar_owner`,
		`create policy open on notes using (true)`,
		`copy tenancy.seal_key to stdout`,
	} {
		refused(t, db, "", sql)
	}
	// Shadows in a schema of the attacker and in pg_temp change nothing, nor do settings.
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		for _, sql := range []string{
			`create function pg_temp.sha256(bytea) returns bytea language sql as $$ select '\x00'::bytea $$`,
			`create function pg_temp.encode(bytea, text) returns text language sql as $$ select repeat('0', 64) $$`,
			`create function pg_temp.current_setting(text, boolean) returns text language sql as $$ select 'globex' $$`,
			`create temp table seal_key (kid text, inner_pad bytea, outer_pad bytea, required boolean) on commit drop`,
			`set local search_path = pg_temp, public`,
			`set local row_security = off`,
			`set local transform_null_equals = on`,
			`set local standard_conforming_strings = off`,
			`set local bytea_output = escape`,
		} {
			_, err := tx.Exec(ctx, sql)
			require.NoError(t, err, sql)
		}
		tenant, err := tenancy.One[string](ctx, tx, `select tenancy.tenant_id()`)
		require.Equal(t, "acme", tenant)
		return err
	}))
	refused(t, db, "does not fit", `set local search_path = pg_temp, public;
		create or replace function pg_temp.encode(bytea, text) returns text language sql as $$ select repeat('0', 64) $$;
		select set_config('tenancy.tenant', chr(2) || repeat('0', 64) || 'k1:globex', true);
		select * from public.notes`)
	// Rights that the database's defaults would have given away, or somebody by mistake, show nothing.
	_, err := pg.Owner.Exec(t.Context(), `grant select on tenancy.seal_key to tenancy_app`)
	require.NoError(t, err)
	n, err := tenancy.One[int](ctx, db, `select count(*)::int from tenancy.seal_key`)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestDefaultPrivilegesDoNotReachTheKeys migrates a database whose owner grants every new table to the app role.
func TestDefaultPrivilegesDoNotReachTheKeys(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, schema)
	file, err := fs.ReadFile(tenancy.Migrations, "0004_seal.sql")
	require.NoError(t, err)
	create, _, ok := strings.Cut(string(file), "-- The tenant of this transaction")
	require.True(t, ok)
	_, err = pg.Owner.Exec(t.Context(), `drop table tenancy.seal_key cascade;
		alter default privileges grant all on tables to tenancy_app, public`)
	require.NoError(t, err)
	_, err = pg.Owner.Exec(t.Context(), create)
	require.NoError(t, err)
	var granted bool
	require.NoError(t, pg.App.QueryRow(t.Context(), `select has_table_privilege('tenancy.seal_key', 'select, insert, update, delete, truncate, references, trigger')`).Scan(&granted))
	require.False(t, granted)
}

// TestSealFitsEveryTenant: ids are opaque text; whatever bytes they have come back from the database unchanged.
func TestSealFitsEveryTenant(t *testing.T) {
	t.Parallel()
	db, _ := openSealed(t)
	for _, id := range []string{
		"a", "a:b", ":", "k1:acme", strings.Repeat("0", 64) + "k1:x", strings.Repeat("x", 255), strings.Repeat("é", 127), "日本語", " ", "'; drop table notes --", "\\x00", "\u00e9", "e\u0301", "🙂", "\x01\x02",
	} {
		got, err := tenancy.One[string](tenancy.WithID(t.Context(), id), db, `select tenancy.tenant_id()`)
		require.NoError(t, err, "%q", id)
		require.Equal(t, id, got)
		value := sealedValue(t, db, id)
		require.True(t, strings.HasSuffix(value, "k1:"+id))
	}
}

func TestSealTravelsInTheSameTrip(t *testing.T) {
	t.Parallel()
	_, pg := openSealed(t)
	proxy := testenv.Proxy(t, addrOf(t, pg.AppURL))
	db, err := tenancy.New(through(t, pg.AppURL, proxy.Addr), &tenancy.Options{Seal: newSeal(t, "k1")})
	require.NoError(t, err)
	ctx := tenancy.WithID(t.Context(), "acme")
	for _, want := range []int64{-1, -1, 1} { // the first ones prepare
		before := proxy.RoundTrips()
		_, err := tenancy.All[note](ctx, db, `select id, body from notes`)
		require.NoError(t, err)
		if want > 0 {
			require.Equal(t, want, proxy.RoundTrips()-before)
		}
	}
}

// TestParallelScansKnowTheTenant forces parallel workers, which get the tenant from their leader.
func TestParallelScansKnowTheTenant(t *testing.T) {
	t.Parallel()
	db, pg := openSealed(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	require.NoError(t, db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Defer(`insert into notes (tenant_id, body) select (select tenancy.tenant_id()), 'acme ' || n from generate_series(1, 20000) n`)
		return nil
	}))
	seed(t, db, "globex")
	_, err := pg.Owner.Exec(t.Context(), `analyze notes`)
	require.NoError(t, err)
	require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Defer(`select set_config('parallel_setup_cost', '0', true), set_config('parallel_tuple_cost', '0', true),
			set_config('min_parallel_table_scan_size', '0', true), set_config('max_parallel_workers_per_gather', '2', true),
			set_config('enable_indexscan', 'off', true), set_config('enable_bitmapscan', 'off', true)`)
		for sql, want := range map[string]int64{
			`select count(*) from notes`: 20000,
			`select count(*) from notes where tenant_id = (select tenancy.tenant_id())`:             20000,
			`select count(*) from notes where length(body) > 0 and tenant_id = tenancy.tenant_id()`: 20000, // in the workers themselves
			`select count(*) from notes where tenant_id <> tenancy.tenant_id()`:                     0,
		} {
			plan, err := tenancy.All[string](ctx, tx, `explain (analyze, costs off, timing off, summary off) `+sql)
			if err != nil {
				return err
			}
			require.Contains(t, strings.Join(plan, "\n"), "Workers Launched: 2", sql)
			n, err := tenancy.One[int64](ctx, tx, sql)
			if err != nil {
				return err
			}
			require.Equal(t, want, n, sql)
		}
		return nil
	}))
}

// TestOnlyTheSealReadsTheSetting keeps all other SQL of tenancy on tenant_id and tenant_or_none.
func TestOnlyTheSealReadsTheSetting(t *testing.T) {
	t.Parallel()
	var readers []string
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || path == filepath.Join("guard", "audit.sql") {
			return err // guard looks for policies that do
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "current_setting('tenancy.tenant'") {
			readers = append(readers, filepath.ToSlash(path))
		}
		return err
	}))
	require.Equal(t, []string{"migrations/0001_tenancy.sql", "migrations/0004_seal.sql"}, readers)
}
