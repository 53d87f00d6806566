package guard_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
)

// plan returns how a statement is run for a tenant.
func plan(t *testing.T, pool *pgxpool.Pool, tenant, sql string) string {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	_, err = tx.Exec(t.Context(), `select set_config('tenancy.tenant', $1, true)`, tenant)
	require.NoError(t, err)
	rows, err := tx.Query(t.Context(), `explain (costs off) `+sql)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return strings.Join(lines, "\n")
}

// library has 200 tenants with 100 books each.
func library(t *testing.T) *testenv.PG {
	t.Helper()
	pg := sound(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `create schema app; grant usage on schema app to tenancy_app, tenancy_system;
		create table app.books (tenant_id text not null, id bigint not null, title text not null,
			words tsvector generated always as (to_tsvector('english', title)) stored, primary key (tenant_id, id));
		insert into app.books (tenant_id, id, title)
			select 't' || i % 200, i, 'the book ' || i || case when i % 400 < 2 then ' of rare whales' else '' end from generate_series(1, 20000) i;
		create index words on app.books using gin (words);
		select tenancy.protect('app.books');
		analyze app.books`)
	require.NoError(t, err)
	return pg
}

func TestPolicyIsEvaluatedOncePerStatement(t *testing.T) {
	t.Parallel()
	pg := library(t)
	change := func(using string) {
		t.Helper()
		_, err := pg.Owner.Exec(t.Context(), `alter policy tenancy_app on app.books using (`+using+`)`)
		require.NoError(t, err)
	}
	const all, one = `select title from app.books`, `select title from app.books where id = 7`
	for _, q := range []string{all, one, `select count(*) from app.books where title > 'the book 5'`} {
		p := plan(t, pg.App, "t7", q)
		require.Contains(t, p, "InitPlan", q)
		require.Regexp(t, `Index Cond: \(+tenant_id = `, p, q)
		require.NotContains(t, p, "tenant_id()", "it stands in the InitPlan alone, which is not shown")
	}
	change(`tenant_id = tenancy.tenant_id()`)
	p := plan(t, pg.App, "t7", all)
	require.NotContains(t, p, "InitPlan")
	require.Contains(t, p, "tenant_id()")
	change(`tenant_id = (select tenancy.tenant_id()) or title = 'shared'`)
	p = plan(t, pg.App, "t7", all)
	require.NotContains(t, p, "Index Cond")
	require.Contains(t, p, "Seq Scan")
}

func TestPolicyIsWhatProtectDoes(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations)
	for _, c := range []guard.Table{{Name: "notes"}, {Name: "public.orders", TenantColumn: "org", TenantType: "uuid"}, {Name: `public.no"tes; drop table notes --`, TenantColumn: `or"g)`}} {
		name, column := pgx.Identifier(strings.Split(c.Name, ".")).Sanitize(), pgx.Identifier{c.TenantColumn}.Sanitize()
		kind := c.TenantType
		if c.TenantColumn == "" {
			column = "tenant_id"
		}
		if kind == "" {
			kind = "text"
		}
		_, err := pg.Owner.Exec(t.Context(), `create table `+name+` (`+column+` `+kind+`, id int, primary key (`+column+`, id))`)
		require.NoError(t, err)
		state := func() (text string) {
			require.NoError(t, pg.Owner.QueryRow(t.Context(), `select concat(c.relrowsecurity, c.relforcerowsecurity, c.relacl,
				(select string_agg(pg_get_expr(adbin, adrelid), ',') from pg_attrdef where adrelid = c.oid),
				(select string_agg(concat(polname, polcmd, polroles, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), ',' order by polname)
					from pg_policy where polrelid = c.oid)) from pg_class c where c.oid = to_regclass($1)`, name).Scan(&text))
			return text
		}
		sql, err := guard.Policy(c)
		require.NoError(t, err)
		for range 2 {
			_, err = pg.Owner.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		ours := state()
		if c.TenantColumn == "" {
			c.TenantColumn = "tenant_id"
		}
		_, err = pg.Owner.Exec(t.Context(), `select tenancy.protect(to_regclass($1), $2)`, name, c.TenantColumn)
		require.NoError(t, err)
		require.Equal(t, state(), ours)
	}
}

// TestProtectCoversPartitions: of all levels, with rights of the app role or without, and those that were attached. Before,
// and without it, the app role that reads a partition itself reads all tenants'.
func TestProtectCoversPartitions(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `create schema app; grant usage on schema app to tenancy_app;
		create table app.hits (org text, at int not null, kind text) partition by range (at);
		create index on app.hits (org);
		create table app.hits_1 partition of app.hits for values from (0) to (10) partition by list (kind);
		create table app.hits_1_a partition of app.hits_1 for values in ('a');
		create table app.hits_2 (kind text, at int not null, org text);
		alter table app.hits attach partition app.hits_2 for values from (10) to (20);
		create table app.hits_3 partition of app.hits for values from (20) to (30);
		grant select, insert on app.hits_1_a, app.hits_2 to tenancy_app;
		insert into app.hits values ('acme', 1, 'a'), ('globex', 2, 'a'), ('acme', 11, 'b'), ('globex', 12, 'b')`)
	require.NoError(t, err)
	_, err = superuser(t, pg).Exec(t.Context(), `create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
		create foreign table app.hits_4 partition of app.hits for values from (30) to (40) server nowhere;
		do $$ begin execute format('alter foreign table app.hits_4 owner to %I', (select tableowner from pg_tables where tablename = 'hits_2')); end $$`)
	require.NoError(t, err)
	found := func() (objects []string) {
		list, err := guard.Audit(t.Context(), pg.App, &guard.Options{TenantColumn: "org", Allow: []guard.Exception{{Rule: "T18", Object: "tenancy.*", Reason: "these have tenant_id"}}})
		require.NoError(t, err)
		for _, f := range list {
			objects = append(objects, f.Rule+" "+f.Object)
		}
		return objects
	}
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	acme := tenancy.WithID(t.Context(), "acme")
	read := func(table string) []string {
		orgs, err := tenancy.All[string](acme, db, `select org from app.`+table+` order by at`)
		require.NoError(t, err)
		return orgs
	}
	require.Equal(t, []string{"acme", "globex"}, read("hits_1_a"), "what protect is for")
	require.Subset(t, found(), []string{"T01 app.hits_1_a", "T01 app.hits_2", "T21 app.hits_1", "T21 app.hits_3"})
	for range 2 {
		_, err = pg.Owner.Exec(t.Context(), `select tenancy.protect('app.hits', 'org')`)
		require.NoError(t, err)
	}
	require.Empty(t, found())
	require.Equal(t, []string{"acme", "acme"}, read("hits where at < 30"))
	for _, part := range []string{"hits_1_a", "hits_2"} {
		require.Equal(t, []string{"acme"}, read(part))
		_, err = db.Exec(acme, `insert into app.`+part+` (org, at, kind) values ('globex', case $1 when 'hits_2' then 10 else 3 end, 'a')`, part)
		require.ErrorContains(t, err, "row-level security")
	}
	_, err = tenancy.All[string](acme, db, `select org from app.hits_3`)
	require.ErrorContains(t, err, "permission denied", "rights come with the table that was named, and with no other")
}

func TestSearchFunc(t *testing.T) {
	t.Parallel()
	pg := library(t)
	const byHand = `select id from app.books where words @@ websearch_to_tsquery('english', 'whale')`
	require.NotContains(t, plan(t, pg.App, "t1", byHand), "on words", "if the index is used under row-level security, the function is not needed any more")

	search := guard.Search{Name: "app.search_books", Table: guard.Table{Name: "app.books"}, Vector: "words", Config: "english", Most: 20}
	sql, err := guard.SearchFunc(search)
	require.NoError(t, err)
	for range 2 {
		_, err = pg.Owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	// What the function does, as the role it runs as.
	require.Contains(t, plan(t, pg.System, "t1", byHand+` and tenant_id = (select tenancy.tenant_id())`), "Bitmap Index Scan on words")

	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	for tenant, want := range map[string]int{"t0": 20, "t1": 20, "t2": 0, "nobody": 0} {
		ids, err := tenancy.All[int64](tenancy.WithID(t.Context(), tenant), db, `select id from app.search_books('rare whale')`)
		require.NoError(t, err)
		require.Len(t, ids, want, tenant)
		for _, id := range ids {
			require.Equal(t, tenant, "t"+string(rune('0'+id%200)))
		}
	}
	few, err := tenancy.All[int64](tenancy.WithID(t.Context(), "t1"), db, `select id from app.search_books('whale', 3)`)
	require.NoError(t, err)
	require.Len(t, few, 3)
	_, err = pg.App.Exec(t.Context(), `select * from app.search_books('whale')`)
	var answer *pgconn.PgError
	require.ErrorAs(t, err, &answer)
	require.Equal(t, "42501", answer.Code, "without a tenant")

	found, err := guard.Audit(t.Context(), pg.App, &guard.Options{Allow: []guard.Exception{{Rule: "T17", Object: "app.words", Reason: "for the search function"}}})
	require.NoError(t, err)
	require.Len(t, found, 1, "the owner may not stay a member of tenancy_system, and the function wants an exception: %v", found)
	require.Equal(t, "T12", found[0].Rule)
	require.Equal(t, "app.search_books(query text, most integer)", found[0].Object)
}

func TestNamesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a.b.c", ".a", "a.", "a\x00", "\xff", "$body$", strings.Repeat("a", 64)} {
		_, err := guard.Policy(guard.Table{Name: name})
		require.ErrorContains(t, err, "is no name", name)
		for _, s := range []guard.Search{
			{Name: name, Table: guard.Table{Name: "t"}, Vector: "v"},
			{Name: "f", Table: guard.Table{Name: name}, Vector: "v"},
			{Name: "f", Table: guard.Table{Name: "t"}, Vector: name},
		} {
			_, err := guard.SearchFunc(s)
			require.ErrorContains(t, err, "is no name", "%+v", s)
		}
	}
}

// FuzzNames: whatever the names are, they stay names. Unquoted, nothing of them is left.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"notes", "app.notes", `a"b`, `";drop table x;--`, "$$", "ü.ß"} {
		f.Add(name)
	}
	want, err := guard.SearchFunc(guard.Search{Name: "x.x", Table: guard.Table{Name: "x"}, Vector: "x"})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, name string) {
		got, err := guard.SearchFunc(guard.Search{Name: "x.x", Table: guard.Table{Name: name}, Vector: "x"})
		if err != nil {
			return
		}
		require.True(t, utf8.ValidString(got))
		require.Equal(t, 8, strings.Count(got, "$"), "the quotes of two bodies")
		quoted := pgx.Identifier(strings.Split(name, ".")).Sanitize()
		require.Equal(t, want, strings.ReplaceAll(strings.ReplaceAll(got, "setof "+quoted, `setof "x"`), "from "+quoted+" t", `from "x" t`))
	})
}
