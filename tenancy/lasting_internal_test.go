package tenancy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLasting(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`set tenancy.tenant = 'x'`, `SET SESSION statement_timeout = 0`, `select 1; set role x`, "/* c */ set role x", "-- c\nset role x",
		`select set_config('a', 'b', false)`, `select SET_CONFIG($1, $2, $3)`, `select set_config('a', 'b', f) from flags f`,
		`listen x`, ` LISTEN x`, `load 'x'`, `prepare x as select 1`,
		`declare c cursor with hold for select 1`, "declare c cursor\nWITH /* x */ HOLD for select 1",
		`create temp table t (n int)`, `CREATE  TEMPORARY TABLE t (n int) on commit delete rows`, `select * into temp x from t`,
		`select * into pg_temp.notes from notes`, `create table PG_TEMP.notes as select 1`, `create view "pg_temp".v as select 1`, `select * into pg_temp_3.x from t`,
		`create function pg_temp.f() returns int language sql as 'select 1'`, `set local search_path = pg_temp, public`, `set local search_path = 'pg_temp'`,
		`create table U&"\0070g_temp".x as select 1`, `create table u&"!0070g_temp" uescape '!'.x as select 1`, `create table pg_temp.x (n int) on commit drop`,
		`create local temp table t as select 1`, `create or replace temp view v as select 1`, `explain analyze create temp table t as select 1`,
		`create temp table t as select 'on commit drop'`, `create temp table t (n int); create temp table u (n int) on commit drop`,
		`do $$ begin set app.y = 'leak'; end $$`, "-- why\ndo $$ begin end $$", `/* a /* b */ c */ set role x`, `select '--'; set role x`, "-- c\rset role x",
		`set localx.y = 'z'`, `set local.y = 'z'`, `set transactions.y = 'z'`,
		`update pg_settings set setting = 'x' where name = 'a.b'`, `with u as (update pg_catalog."pg_settings" set setting = 'x') select 1`,
		`select set_config('a', 'b', true and false)`, `select set_config('a', 'b,true)', false)`, `select set_config('a', 'b', not true)`,
		`select set_config('a', $1, (true))`, `select "set_config"('a', 'b', false)`, `select set_config(is_local => false, setting_name => 'a', new_value => 'true')`,
		`select set_config(is_local := false, setting_name := 'a', new_value := $1)`, `select set_config`, `select set_config('a'`,
		`select query_to_xml('select set_config(''a'', ''b'', false)', true, false, '')`, `select query_to_xml($q$select pg_advisory_lock(1)$q$, true, false, '')`,
		`select e'\'' || set_config('a', 'b', false)`,
		`create temp view v as select 1`, `select pg_advisory_lock(1)`, `select pg_try_advisory_lock(1, 2)`, `select pg_advisory_lock_shared(1)`,
		`reset all`, `RESET role`, `discard plans`, `deallocate all`, `select 1; deallocate x`, `unlisten *`, `select setseed(0.5)`, `set local seed = 0.5`,
		`select set_config('seed', '0.5', true)`, `select set_config('SEED', '0.5', true)`, `select set_config('se' || 'ed', '0.5', true)`,
		`select set_config(E'\x73eed', '0.5', true)`, `set local "seed" = 0.5`, `set local U&"\0073eed" = 0.5`,
		`set local standard_conforming_strings = off`, `select set_config('standard_conforming_strings', 'off', true)`,
		`set local client_encoding = 'SJIS'`, `set local names 'SJIS'`, `select set_config('client_encoding', 'SJIS', true)`,
		`select * from ts_stat('select set_con' || 'fig(''a'', ''b'', false)')`, `select "ts_stat"('x')`, `select ts_rewrite('a', 'select …')`,
		`select query_to_xml('select set_con' || 'fig(''a'', ''b'', false)', true, true, '')`, `select query_to_xmlschema('x', true, true, '')`,
		`set local search_path = E'pg\x5ftemp'`, `set local search_path = U&'pg\005ftemp'`, `select set_config('search_path', 'pg_' || 'temp', true)`,
		"select E'a'\n'b\\' , '; set role x; --'", "select E'a' -- c\n -- d\n 'b\\' , '; prepare x as select 1; --'", `select 1a$b$; set role x; --$b$`,
	} {
		require.True(t, lasting(sql), sql)
	}
	for _, sql := range []string{
		``, `select 1`, `update t set a = 1`, "update t -- why\nset a = 1", `insert into t values (1) on conflict do update set a = 1`,
		`set local statement_timeout = 1`, `SET LOCAL x = 1`, `set transaction read only`, `set constraints all deferred`,
		`select set_config('a', $1, true)`, `select set_config('a', 'x,y', TRUE), 1`, `declare c cursor without hold for select 1`,
		`create temp table t (n int) on commit drop`, "create temporary table t (n int)\non commit\n drop", `select pg_advisory_xact_lock(1)`,
		`select set_config('a', lower('X'), true)`, `select set_config('a', array[1, 2]::text, /* c */ true)`, `select setting from pg_settings`,
		`insert into t values (1) on conflict do nothing`, "-- do set\nselect 1", "-- hold on to it\nselect 1", "select 1 -- into temp, with hold, pg_temp",
		"-- name: SetAll\n/* why */ update t\n-- c\nset a = 1", `select 'do; set x'`, `select u & 1 from t`, `select u.a from users u`, `SET CONSTRAINTS ALL DEFERRED`,
		`select hold, temp, load, listen, prepare from settings`, `select temporary from t with ordinality`,
		`set local search_path = app, public`, `select set_config('search_path', $1, true)`, `select set_config('search_path', 'app', true)`,
		`select set_config($1, $2, true)`, `set local time zone 'UTC'`, `select reset, discard from t`, `select seed from t`, `select e'it\'s; set role x'`,
		"select e'a' || '\\' || '; set role x'", "select 'a'\n'b\\' , '; set role x; --'", `select 1e5, $a$; set role x; $a$`,
		`-- name: UpdateOrder :exec` + "\n" + `update orders` + "\n" + `set status = $1`,
	} {
		require.False(t, lasting(sql), sql)
	}
}

func FuzzLasting(f *testing.F) {
	f.Add(`select set_config('a', 'b', false)`)
	f.Add("--")
	f.Add("/* set")
	f.Fuzz(func(t *testing.T, sql string) {
		if !lasting(sql) && lasting("; set role x;"+sql) != true {
			t.Fatal("a statement in front was not seen")
		}
		lasting(sql)
	})
}

func BenchmarkLasting(b *testing.B) {
	const sql = `select o.id, o.status, o.total, o.version from app.orders o where o.tenant_id = $1 and o.id = $2 order by o.created_at desc`
	for b.Loop() {
		if lasting(sql) {
			b.Fatal()
		}
	}
}
