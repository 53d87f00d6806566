package tenancy_test

import (
	"context"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
)

// columnSchema has tables whose tenant column is not called tenant_id. The trigger of old_things is one that
// audit_changes made before it knew of that.
var columnSchema = fstest.MapFS{"0002_columns.sql": {Data: []byte(`
create table things (org_id text not null, id int not null, v text, primary key (org_id, id));
select tenancy.protect('things', 'org_id');
select tenancy.audit_changes('things');

create table short_things ("Org %I" varchar(20) not null, id int not null, v text, primary key ("Org %I", id));
select tenancy.protect('short_things', 'Org %I');
select tenancy.audit_changes('short_things');

create table old_things (org_id text not null, id int not null, v text, primary key (org_id, id));
select tenancy.protect('old_things', 'org_id');
create trigger tenancy_audit after insert or update or delete on old_things for each row
	execute function tenancy.audit_row('{}', '{id}');

create table split_things (org_id text not null, id int not null, v text, primary key (org_id, id)) partition by range (id);
create table split_things_1 partition of split_things default;
select tenancy.protect('split_things', 'org_id');
create trigger tenancy_audit after insert or update or delete on split_things for each row
	execute function tenancy.audit_row('{}', '{id}');

create table told_things (org_id text not null, tenant_id text, id int not null, v text, primary key (org_id, id));
alter table told_things enable row level security;
create policy members on told_things using (org_id in (select tenancy.tenant_id()) or v = 'shared');
create policy operators on told_things to tenancy_system using (true);
grant select, insert, update, delete on told_things to tenancy_app, tenancy_system;
select tenancy.audit_changes('told_things', tenant_column => 'org_id');`)}}

// TestAuditTriggersKeepToTheTenantOfTheRow changes rows of acme in units of others: only acme may read what they held.
func TestAuditTriggersKeepToTheTenantOfTheRow(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, columnSchema)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	exec := func(ctx context.Context, sql string) {
		t.Helper()
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err }), sql)
	}
	for table, column := range map[string]string{
		"things": "org_id", "short_things": `"Org %I"`, "old_things": "org_id", "split_things": "org_id", "told_things": "org_id",
	} {
		exec(acme, `insert into `+table+` (`+column+`, id, v) values ('acme', 1, 'a')`)
		exec(tenancy.System(globex, "in another's unit"), `update `+table+` set v = 'b' where id = 1`)
		exec(tenancy.System(t.Context(), "in nobody's unit"), `update `+table+` set v = 'c' where id = 1`)
		exec(tenancy.System(globex, "moved"), `update `+table+` set v = 'd', `+column+` = 'globex' where id = 1`)
		exec(tenancy.System(acme, "moved on"), `delete from `+table+` where id = 1`)
	}
	for _, as := range []string{"things", "short_things", "old_things", "split_things_1", "told_things"} {
		read := func(ctx context.Context) []string {
			list, err := tenancy.All[string](ctx, db, `select concat_ws(' ', action, subject, changes -> 'v') from tenancy.audit
				where action like 'public.' || $1 || '.%' order by seq`, as)
			require.NoError(t, err)
			return list
		}
		require.Equal(t, []string{
			"public." + as + ".insert " + as + `/1 {"new": "a"}`,
			"public." + as + ".update " + as + `/1 {"new": "b", "old": "a"}`,
			"public." + as + ".update " + as + `/1 {"new": "c", "old": "b"}`,
			"public." + as + ".update " + as + `/1 {"old": "c"}`,
		}, read(acme), "what acme's row held")
		require.Equal(t, []string{
			"public." + as + ".update " + as + `/1 {"new": "d"}`,
			"public." + as + ".delete " + as + `/1 {"old": "d"}`,
		}, read(globex), "what the row held once it was globex's")
	}
	none, err := tenancy.One[int](tenancy.System(t.Context(), "test"), db, `select count(*)::int from tenancy.audit where tenant_id = ''`)
	require.NoError(t, err)
	require.Zero(t, none)
}

func TestAuditChangesFindsTheTenantColumn(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancy.Migrations, columnSchema)
	refused := func(code, sql string) {
		t.Helper()
		_, err := pg.Owner.Exec(t.Context(), sql)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, code, pgErr.Code, "%s: %v", sql, err)
	}
	refused("42703", `select tenancy.audit_changes('things', tenant_column => 'tenant_id')`)
	refused("42703", `select tenancy.audit_changes('things', '{w}')`)
	for _, sql := range []string{
		`create table parts (id int primary key, thing int, v text)`,
		`alter table parts enable row level security`,
		`create policy tenancy_app on parts using (exists (select from things t where t.id = thing and t.org_id = (select tenancy.tenant_id())))`,
	} {
		_, err := pg.Owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	refused("42P16", `select tenancy.audit_changes('parts')`)
	for _, test := range []struct{ call, table, column string }{
		{`('parts', tenant_column => '')`, "parts", ""}, // rows of no tenant, on the caller's word
		{`('old_things')`, "old_things", "org_id"},      // again: the trigger no longer has to look
		{`('short_things', '{v}')`, "short_things", "Org %I"},
		{`('split_things')`, "split_things_1", "org_id"},
		{`('told_things')`, "told_things", "tenant_id"},
	} {
		_, err := pg.Owner.Exec(t.Context(), `select tenancy.audit_changes`+test.call)
		require.NoError(t, err, test.call)
		var args []string
		require.NoError(t, pg.Owner.QueryRow(t.Context(), `select string_to_array(encode(tgargs, 'escape'), '\000') from pg_trigger
			where tgname = 'tenancy_audit' and tgrelid = $1::text::regclass`, test.table).Scan(&args))
		require.Len(t, args, 4, "three, each with its end")
		require.Equal(t, test.column, args[2], test.call)
	}
}
