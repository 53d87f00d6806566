package tenancy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestManaged(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		`commit`, `COMMIT;`, ` end work`, `abort`, `rollback`, `rollback work`, `rollback transaction`, `rollback and chain`, `begin`, `start transaction`,
		"\n-- why\ncommit", `/* a /* b */ c */ rollback`, `;commit`, `; ;rollback;`, `prepare transaction 'x'`, `rollback prepared 'x'`,
		`insert into t values (1); commit`, `insert into t values (';'); rollback; select 1`, "select 1;\r-- c\rcommit", `commit prepared 'x'`,
	} {
		require.ErrorIs(t, managed(sql), ErrManaged, sql)
	}
	for _, sql := range []string{
		``, `select 1`, `savepoint s`, `release s`, `rollback to s`, `ROLLBACK WORK TO SAVEPOINT s`, `rollback transaction to s`, `prepare p as select 1`,
		`select 'x;commit'`, `select 1; -- commit`, `select 1 as commit`, `create table c (commit int)`, `call p()`, `set transaction read only`, `(select 1)`,
		`create function f() returns int begin atomic select 1; end; select 2`, `copy t from stdin`, `explain select 1`, `"commit"`, `'rollback'`,
	} {
		require.NoError(t, managed(sql), sql)
	}
	for sql, want := range map[string]bool{`call p()`: true, ` /* c */ CALL p()`: true, `do $$ $$`: true, `select 1`: false, `done()`: false, ``: false} {
		require.Equal(t, want, block(sql), sql)
	}
}

func BenchmarkManaged(b *testing.B) {
	const sql = `select o.id, o.status, o.total, o.version from app.orders o where o.tenant_id = $1 and o.id = $2 order by o.created_at desc`
	for b.Loop() {
		if managed(sql) != nil || block(sql) {
			b.Fatal()
		}
	}
}
