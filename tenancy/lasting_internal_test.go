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
		`create temp view v as select 1`, `select pg_advisory_lock(1)`, `select pg_try_advisory_lock(1, 2)`, `select pg_advisory_lock_shared(1)`,
	} {
		require.True(t, lasting(sql), sql)
	}
	for _, sql := range []string{
		``, `select 1`, `update t set a = 1`, "update t -- why\nset a = 1", `insert into t values (1) on conflict do update set a = 1`,
		`set local statement_timeout = 1`, `SET LOCAL x = 1`, `set transaction read only`, `set constraints all deferred`,
		`select set_config('a', $1, true)`, `select set_config('a', 'x,y', TRUE), 1`, `declare c cursor without hold for select 1`,
		`create temp table t (n int) on commit drop`, "create temporary table t (n int)\non commit\n drop", `select pg_advisory_xact_lock(1)`,
		`select hold, temp, load, listen, prepare from settings`, `select temporary from t with ordinality`,
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
