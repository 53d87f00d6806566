package guard_test

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/devstack"
	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

// app is a sound application: every kind of object that a rule looks at is there once, as it should be.
var app = fstest.MapFS{"0001_app.sql": {Data: []byte(`
create schema app;
grant usage on schema app to tenancy_app, tenancy_system;
create table app.projects (tenant_id text not null, id text not null, name text not null, primary key (tenant_id, id), unique (tenant_id, name));
select tenancy.protect('app.projects');
create table app.notes (
    tenant_id text not null, id bigint generated always as identity, project text, body text not null, at timestamptz not null default now(),
    primary key (tenant_id, id), foreign key (tenant_id, project) references app.projects (tenant_id, id)
);
create index on app.notes (tenant_id, at);
select tenancy.protect('app.notes');
create table app.readings (tenant_id text not null, at timestamptz not null, n bigint, primary key (tenant_id, at)) partition by range (at);
create table app.readings_all partition of app.readings default;
select tenancy.protect('app.readings'); -- and its partition
create view app.note_list with (security_invoker = true) as select id, body from app.notes;
grant select on app.note_list to tenancy_app;
select lo_from_bytea(0, 'large objects of others are not the app role''s');
create table app.secrets (key text primary key, value text); -- the app role has no rights on it
create function app.touch() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$ begin return new; end $$;
revoke execute on function app.touch() from public;
create trigger touch before update on app.notes for each row execute function app.touch();
`)}}

// sound returns a database like testenv.Postgres, and takes from everybody the right to make temporary tables and, before
// PostgreSQL 15, tables in the schema public.
func sound(t *testing.T, migrations ...fs.FS) *testenv.PG {
	t.Helper()
	pg := testenv.Postgres(t, migrations...)
	_, err := pg.Owner.Exec(t.Context(), "revoke temporary on database "+pgx.Identifier{pg.Name()}.Sanitize()+" from public")
	require.NoError(t, err)
	_, err = superuser(t, pg).Exec(t.Context(), "revoke create on schema public from public")
	require.NoError(t, err)
	return pg
}

func superuser(t *testing.T, pg *testenv.PG) *pgx.Conn {
	t.Helper()
	databases, err := devstack.TestDatabases()
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), databases.Server.On(pg.Name()).AdminURL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	return conn
}

func TestSoundDatabaseHasNoFindings(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, registry.Migrations, app)
	found, err := guard.Audit(t.Context(), pg.App, nil)
	require.NoError(t, err)
	require.Empty(t, found)
	require.NoError(t, guard.Check(t.Context(), pg.App, nil))
}

// planted has for each rule what breaks it, and what is then found.
var planted = []struct{ rule, object, sql string }{
	{"T01", "app.plain", `create table app.plain (tenant_id text not null primary key)`},
	{"T01", "app.readings_new", `create table app.readings_new partition of app.readings for values from ('2020-01-01') to ('2021-01-01'); grant select (n) on app.readings_new to public`},
	{"T21", "app.readings_new", `create table app.readings_new partition of app.readings for values from ('2020-01-01') to ('2021-01-01')`},
	{"T01", "app.notes", `alter table app.notes disable row level security`},
	{"T02", "app.notes", `alter table app.notes no force row level security`},
	{"T03", "app.notes", `drop policy tenancy_app on app.notes`},
	{"T04", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id = tenancy.tenant_id())`},
	{"T04", "app.notes.more", `create policy more on app.notes for insert to tenancy_app with check (tenant_id = (select tenancy.tenant_id()) and at < now())`},
	{"T04", "app.notes.narrow", `create policy narrow on app.notes as restrictive to tenancy_app using (at < now())`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id = (select tenancy.tenant_id()) or body = 'shared')`},
	{"T05", "app.notes.wide", `create policy wide on app.notes for select using (true)`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id = (select current_setting('tenancy.tenant')))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id = (select tenancy.tenant_id() from app.projects limit 1))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (not tenant_id = (select tenancy.tenant_id()))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id in ((select tenancy.tenant_id()), 'globex'))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using ((tenant_id = (select tenancy.tenant_id())) = false)`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using ((tenant_id = (select tenancy.tenant_id())) is false)`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using ((tenant_id = (select tenancy.tenant_id()) and at is not null) is unknown)`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using ((tenant_id = (select tenancy.tenant_id())) <> (body = 'shared'))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (coalesce(tenant_id = (select tenancy.tenant_id()), true))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (nullif(tenant_id = (select tenancy.tenant_id()), true) is null)`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (case when tenant_id = (select tenancy.tenant_id()) then true else true end)`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (body = 'x' and (at is null or tenant_id = (select tenancy.tenant_id())))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (body <> 'tenant_id = TENANT')`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (exists (select from app.projects p where p.tenant_id = (select tenancy.tenant_id()) and p.name = body))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id || '' = (select tenancy.tenant_id()))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (booleq(tenant_id = (select tenancy.tenant_id()), false))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id::"char" = (select tenancy.tenant_id()::"char"))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id::varchar(3) = (select tenancy.tenant_id()))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id = (select tenancy.tenant_id()::varchar(3)))`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes using (tenant_id = (select tenancy.tenant_id()::name))`},
	{"T05", "app.notes.tenancy_app", `create domain app.short as varchar(3); alter policy tenancy_app on app.notes using (tenant_id = (select tenancy.tenant_id()::app.short))`},
	{"T05", "app.folded", `create collation app.folding (provider = libc, locale = 'C'); update pg_collation set collisdeterministic = false where collname = 'folding';
		create table app.folded (tenant_id text collate app.folding primary key); select tenancy.protect('app.folded')`},
	{"T05", "app.notes.tenancy_app", `alter policy tenancy_app on app.notes with check (true)`},
	{"T05", "app.notes.member", `create role guard_group; grant guard_group to tenancy_app; create policy member on app.notes to guard_group using (body <> '')`},
	{"T06", "app.logs", `create table app.logs (tenant_id text); create index on app.logs (tenant_id); select tenancy.protect('app.logs'); alter table app.logs alter tenant_id drop not null`},
	{"T07", "app.logs", `create table app.logs (tenant_id text, n int); create index on app.logs (n, tenant_id); select tenancy.protect('app.logs')`},
	{"T08", "app.logs_pkey", `create table app.logs (id text primary key, tenant_id text); create index on app.logs (tenant_id); select tenancy.protect('app.logs')`},
	{"T08", "app.mail", `create unique index mail on app.projects (name) include (tenant_id)`},
	{"T08", "app.gap", `alter table app.readings_all add constraint gap unique (n)`},
	{"T09", "app.notes.parent", `create unique index one on app.projects (id); alter table app.notes add constraint parent foreign key (project) references app.projects (id) on delete cascade`},
	{"T10", "app.owners", `create view app.owners as select * from app.notes; grant select on app.owners to tenancy_app`},
	{"T10", "app.second", `create view app.first with (security_invoker = true) as select * from app.notes; create view app.second with (security_invoker = off) as select * from app.first; grant select (body) on app.second to ashlar_app`},
	{"T10", "app.wide", `create table app.others (org text not null, n int); select tenancy.protect('app.others', 'org'); create view app.wide as select n from app.others; grant select on app.wide to tenancy_app`},
	{"T11", "app.totals", `create materialized view app.totals as select tenant_id, count(*) from app.notes group by 1; grant select on app.totals to public`},
	{"T12", "app.peek(who text)", `create function app.peek(who text) returns bigint language sql security definer as 'select count(*) from app.notes'`},
	{"T12", "app.touch()", `do $$ begin execute format('grant temporary on database %I to tenancy_app', current_database()); end $$; grant execute on function app.touch() to public`},
	{"T13", "app.notes", `grant truncate on app.notes to ashlar_app`},
	{"T13", "app.notes", `grant trigger on app.notes to public`},
	{"T13", "app.notes", `grant references (id) on app.notes to tenancy_app`},
	{"T13", "app.notes_id_seq", `grant all on all sequences in schema app to tenancy_app`},
	{"T13", "tenancy.outbox", `grant insert on tenancy.outbox to tenancy_app`},
	{"T13", "tenancy.audit", `grant select, insert on all tables in schema tenancy to ashlar_app`},
	{"T14", "guard_root", `create role guard_root superuser; grant tenancy_app to guard_root`},
	{"T14", "guard_bypass", `create role guard_bypass bypassrls; grant tenancy_app to guard_bypass`},
	{"T14", "guard_copy", `create role guard_copy replication; grant tenancy_app to guard_copy`},
	{"T14", "ashlar_app", `alter table app.notes owner to ashlar_app`},
	{"T15", "ashlar_app", `grant tenancy_system to ashlar_app`},
	{"T15", "ashlar_app", `create role guard_between; grant guard_between to tenancy_app; create role guard_root superuser; grant guard_root to guard_between`},
	{"T15", "tenancy_app", `create role guard_owner; alter table app.notes owner to guard_owner; grant guard_owner to tenancy_app`},
	{"T15", "tenancy_app", `grant pg_read_server_files to tenancy_app`},
	{"T15", "ashlar_app", `grant pg_read_all_data to ashlar_app`},
	{"T15", "ashlar_app", `alter role ashlar_app createrole`},
	{"T16", "app", `grant create on schema app to tenancy_app`},
	{"T16", "public", `grant create on schema public to public`},
	{"T17", "app.price", `alter table app.notes add price numeric; create index price on app.notes (tenant_id, price)`},
	{"T17", "app.lower_body", `create index lower_body on app.notes (tenant_id, lower(body))`},
	{"T17", "app.words", `create index words on app.notes using gin (to_tsvector('simple', body))`},
	{"T17", "app.mood", `create type app.mood as enum ('good'); alter table app.notes add mood app.mood; create index mood on app.notes (tenant_id, mood)`},
	{"T18", "app.countries", `create table app.countries (code text primary key); grant select on app.countries to tenancy_app`},
	{"T19", "ashlar_app", `alter role ashlar_app set tenancy.tenant = 'globex'`},
	{"T19", "ashlar_app", `alter role ashlar_app set "Tenancy".tenant = 'globex'`},
	{"T19", "session", `set tenancy.tenant = 'globex'`},
	{"T19", "session", `select set_config('tenancy.tenant', 'globex', false)`},
	{"T20", "database", `do $$ begin execute format('grant temporary on database %I to public', current_database()); end $$`},
	{"T20", "database", `do $$ begin execute format('grant temporary on database %I to tenancy_app', current_database()); end $$`},
	{"T22", "app.notes.also", `create rule also as on insert to app.notes do also update app.projects set name = 'x'`},
	{"T22", "app.note_list.also", `grant update (body) on app.note_list to ashlar_app; create rule also as on update to app.note_list do also delete from app.projects`},
	{"T22", "app.notes.instead", `create rule instead as on delete to app.notes where body = 'x' do instead (delete from app.projects; select 1)`},
	{"T23", "large objects", `set local role ashlar_app; select lo_from_bytea(0, 'x'); reset role`},
	{"T23", "large objects", `select lo_create(4711); grant select on large object 4711 to public`},
	{"T23", "large objects", `select lo_create(4711); grant select on large object 4711 to tenancy_app`},
	{"T24", "app.touch()", `do $$ begin execute format('grant temporary on database %I to tenancy_app', current_database()); end $$; alter function app.touch() set search_path = pg_catalog`},
	{"T24", "app.peek(who text)", `do $$ begin execute format('grant temporary on database %I to tenancy_app', current_database()); end $$; create function app.peek(who text) returns bigint language sql security definer set search_path = app as 'select count(*) from notes'`},
	{"T24", "app.tidy()", `do $$ begin execute format('grant temporary on database %I to tenancy_app', current_database()); end $$; create function app.tidy() returns trigger language plpgsql as 'begin return old; end'; create table app.parts (tenant_id text, project text,
		primary key (tenant_id, project), foreign key (tenant_id, project) references app.projects on delete cascade); create trigger tidy before delete on app.parts for each row execute function app.tidy()`},
	{"T23", "large objects", `set local lo_compat_privileges = on`},
}

// TestEachViolationIsFound plants one violation after the other into the sound database, each in a transaction that is
// rolled back, and expects its rule to find it; then the SQL that is said to mend it does.
func TestEachViolationIsFound(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	conn := superuser(t, pg)
	rules := map[string]bool{}
	for _, p := range planted {
		rules[p.rule] = true
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), p.sql)
		require.NoError(t, err, p.sql)
		found, err := guard.Audit(t.Context(), tx, nil)
		require.NoError(t, err)
		i := slices.IndexFunc(found, func(f guard.Finding) bool { return f.Rule == p.rule && f.Object == p.object })
		require.GreaterOrEqual(t, i, 0, "%s on %s was not found after: %s\nfound: %v", p.rule, p.object, p.sql, found)
		require.NotEmpty(t, found[i].Severity)
		if p.rule != "T17" && p.rule != "T18" && !strings.Contains(found[i].Fix, "…") {
			_, err = tx.Exec(t.Context(), found[i].Fix)
			require.NoError(t, err, "%v", found[i])
			left, err := guard.Audit(t.Context(), tx, nil)
			require.NoError(t, err)
			require.NotContains(t, left, found[i])
		}
		require.NoError(t, tx.Rollback(t.Context()))
	}
	for _, rule := range guard.Rules() {
		require.Contains(t, rules, rule, "no violation is planted for it")
	}
	found, err := guard.Audit(t.Context(), conn, nil)
	require.NoError(t, err)
	require.Empty(t, found, "the rollbacks left the sound database")
}

// TestManyLogins: logins that have no rights but the app's cost nothing, and one among them that has is found.
func TestManyLogins(t *testing.T) {
	t.Parallel()
	conn := superuser(t, sound(t, tenancy.Migrations, app))
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `do $$ begin
		for n in 1..1000 loop execute format('create role guard_login_%s login in role tenancy_app', n); end loop;
		grant truncate on app.notes to guard_login_500;
	end $$`)
	require.NoError(t, err)
	start := time.Now()
	found, err := guard.Audit(t.Context(), tx, nil)
	require.NoError(t, err)
	t.Log("an audit with a thousand logins took", time.Since(start))
	require.Len(t, found, 1)
	require.Equal(t, "T13", found[0].Rule)
	require.Contains(t, found[0].Fix, "guard_login_500")
	require.NoError(t, tx.Rollback(t.Context()))
}

// TestMaintainIsFound: the privilege exists from PostgreSQL 17 on, where VACUUM and LOCK need no other.
func TestMaintainIsFound(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	var version int
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select current_setting('server_version_num')::int`).Scan(&version))
	_, err := pg.Owner.Exec(t.Context(), `grant maintain on app.notes to tenancy_app`)
	if version < 170000 {
		require.ErrorContains(t, err, "maintain")
		return
	}
	require.NoError(t, err)
	found, err := guard.Audit(t.Context(), pg.App, nil)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "T13", found[0].Rule)
	_, err = pg.Owner.Exec(t.Context(), found[0].Fix)
	require.NoError(t, err)
	found, err = guard.Audit(t.Context(), pg.App, nil)
	require.NoError(t, err)
	require.Empty(t, found)
}

// TestHarmlessRules: the app role does not write where this one is.
func TestHarmlessRules(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	_, err := pg.Owner.Exec(t.Context(), `create rule log as on insert to app.secrets do also insert into app.projects values ('acme', 'x', 'x')`)
	require.NoError(t, err)
	found, err := guard.Audit(t.Context(), pg.App, nil)
	require.NoError(t, err)
	require.Empty(t, found)
}

func TestFiveHundredTables(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations)
	_, err := pg.Owner.Exec(t.Context(), `do $$ begin
		for n in 1..500 loop
			execute format('create table t%s (tenant_id text not null, id bigint, body text, primary key (tenant_id, id))', n);
			perform tenancy.protect(format('t%s', n)::regclass);
			execute format('create index on t%s (tenant_id, body)', n);
		end loop;
	end $$`)
	require.NoError(t, err)
	start := time.Now()
	found, err := guard.Audit(t.Context(), pg.App, nil)
	require.NoError(t, err)
	t.Log("an audit of 500 tables took", time.Since(start))
	require.Empty(t, found)
}

// TestSafePolicies: what only narrows the comparison with the tenant is no finding.
func TestSafePolicies(t *testing.T) {
	t.Parallel()
	conn := superuser(t, sound(t, tenancy.Migrations, app))
	for _, using := range []string{
		`tenant_id = (select tenancy.tenant_id())`,
		`tenant_id = (select tenancy.tenant_id()::text) and not (body = 'x')`,
		`at is null and (body = 'x' or body is null) and tenant_id = (select tenancy.tenant_id()) and at is distinct from null`,
		`(at is not null and (tenant_id = (select tenancy.tenant_id()) and body <> 'a or b')) and case when body = 'x' then true else false end`,
		`tenant_id::varchar = (select tenancy.tenant_id()::varchar) and body in (select name from app.projects)`,
	} {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `alter policy tenancy_app on app.notes using (`+using+`)`)
		require.NoError(t, err)
		found, err := guard.Audit(t.Context(), tx, nil)
		require.NoError(t, err)
		require.Empty(t, found, using)
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

// TestLargeObjectsHaveNoTenant is why T23 is a breach: what a unit of one tenant stores, one of another reads.
func TestLargeObjectsHaveNoTenant(t *testing.T) {
	t.Parallel()
	pg := sound(t, tenancy.Migrations, app)
	db, err := tenancy.New(pg.App, nil)
	require.NoError(t, err)
	id, err := tenancy.One[uint32](tenancy.WithID(t.Context(), "acme"), db, `select lo_from_bytea(0, 'secret of acme')`)
	require.NoError(t, err)
	read, err := tenancy.One[string](tenancy.WithID(t.Context(), "globex"), db, `select convert_from(lo_get($1::oid), 'UTF8')`, id)
	require.NoError(t, err)
	require.Equal(t, "secret of acme", read)
	require.ErrorContains(t, guard.Check(t.Context(), pg.App, nil), "T23 breach")
}
