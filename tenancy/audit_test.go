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

// auditSchema has a protected table and a global one whose rows are watched by triggers.
var auditSchema = fstest.MapFS{"0002_audited.sql": {Data: []byte(`
create table accounts (
    tenant_id text not null,
    id        text not null,
    email     text,
    secret    text,
    prefs     jsonb,
    primary key (tenant_id, id)
);
select tenancy.protect('accounts');
select tenancy.audit_changes('accounts', '{secret}');
select tenancy.audit_changes('accounts', '{secret}');
create table plans (name text primary key, price int not null);
grant select, insert, update on plans to tenancy_app, tenancy_system;
select tenancy.audit_changes('plans');
`)}}

const readAudit = `select seq, id::text as id, tenant_id, at, actor, on_behalf_of, ip, request_id, reason,
	role::text as role, action, subject, changes from tenancy.audit order by seq`

func openAudit(t *testing.T) (*tenancy.DB, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, tenancy.Migrations, schema, auditSchema)
	db, err := tenancy.New(pg.App, &tenancy.Options{System: pg.System})
	require.NoError(t, err)
	return db, pg
}

func auditOne(ctx context.Context, db *tenancy.DB, action string) error {
	return db.Do(ctx, func(_ context.Context, tx *tenancy.Tx) error {
		tx.Audit(tenancy.Audit{Action: action, Subject: "x"})
		return nil
	})
}

func TestNobodyChangesTheAuditLog(t *testing.T) {
	t.Parallel()
	db, pg := openAudit(t)
	acme, globex := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "globex")
	require.NoError(t, auditOne(acme, db, "a"))
	require.NoError(t, auditOne(globex, db, "b"))
	refused := func(name string, err error) {
		t.Helper()
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, name)
		require.Equal(t, "42501", pgErr.Code, "%s: %v", name, err)
	}
	for _, sql := range []string{
		`update tenancy.audit set action = 'c'`,
		`delete from tenancy.audit`,
		`truncate tenancy.audit`,
		`truncate tenancy.audit_default`,
		`drop table tenancy.audit`,
		`alter table tenancy.audit disable trigger all`,
		`select * from tenancy.audit_default`,
		`insert into tenancy.audit (tenant_id, action, at) values ('acme', 'backdated', now() - interval '1 year')`,
		`insert into tenancy.audit (tenant_id, action, role) values ('acme', 'by another login', 'postgres')`,
		`insert into tenancy.audit_default (tenant_id, action) values ('acme', 'past the policy')`,
		`select tenancy.audit_changes('notes')`,
		`drop trigger tenancy_audit on accounts`,
	} {
		for name, ctx := range map[string]context.Context{"app": acme, "system": tenancy.System(acme, "test")} {
			refused(name+": "+sql, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err }))
		}
	}
	exec := func(sql string) error {
		return db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err })
	}
	refused("foreign entry", exec(`insert into tenancy.audit (tenant_id, action) values ('globex', 'mine')`))
	refused("retention by the app", exec(`select tenancy.audit_partitions('1 day')`))
	list, err := tenancy.All[tenancy.AuditEntry](acme, db, readAudit)
	require.NoError(t, err)
	require.Len(t, list, 1, "a tenant reads its own entries only")

	// The owner is bound by row-level security, and whoever is not is stopped by a trigger.
	for _, sql := range []string{`update tenancy.audit set action = 'c'`, `delete from tenancy.audit`} {
		tag, err := pg.Owner.Exec(t.Context(), sql)
		require.NoError(t, err)
		require.Zero(t, tag.RowsAffected(), sql)
	}
	_, err = pg.Owner.Exec(t.Context(), `alter table tenancy.audit no force row level security`)
	require.NoError(t, err)
	for _, sql := range []string{`update tenancy.audit set action = 'c'`, `delete from tenancy.audit`, `truncate tenancy.audit`} {
		_, err := pg.Owner.Exec(t.Context(), sql)
		refused("owner: "+sql, err)
	}
	_, err = pg.Owner.Exec(t.Context(), `create table tenancy.audit_202001 partition of tenancy.audit for values from ('2020-01-01Z') to ('2020-02-01Z')`)
	require.NoError(t, err)
	_, err = pg.System.Exec(t.Context(), `select tenancy.audit_partitions(ahead => 4)`) // closes what was made by hand, too
	require.NoError(t, err)
	parts, err := tenancy.All[string](tenancy.System(t.Context(), "test"), db, `select inhrelid::regclass::text from pg_inherits where inhparent = 'tenancy.audit'::regclass`)
	require.NoError(t, err)
	require.Len(t, parts, 7, "this month and four more, the one made by hand and the default")
	for _, part := range parts {
		_, err := pg.Owner.Exec(t.Context(), `truncate `+part)
		refused("owner: truncate "+part, err)
		tag, err := pg.Owner.Exec(t.Context(), `delete from `+part)
		require.NoError(t, err)
		require.Zero(t, tag.RowsAffected(), part)
	}
	list, err = tenancy.All[tenancy.AuditEntry](tenancy.System(t.Context(), "test"), db, readAudit)
	require.NoError(t, err)
	require.Len(t, list, 2)
}

func TestTriggersCatchRawSQL(t *testing.T) {
	t.Parallel()
	db, pg := openAudit(t)
	ctx := tenancy.WithActor(tenancy.WithID(t.Context(), "acme"), tenancy.Actor{ID: "ann", RequestID: "r1"})
	for _, sql := range []string{
		`insert into accounts (id, email, secret, prefs) values ('1', 'a@example.com', 's3cret', '{"a": null}')`,
		`update accounts set email = 'b@example.com', secret = 'other s3cret'`,
		`update accounts set email = email`,
		`insert into accounts (id, prefs) values ('1', null) on conflict (tenant_id, id) do update set prefs = null`,
		`insert into plans values ('pro', 10)`,
		`delete from accounts`,
	} {
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error { _, err := tx.Exec(ctx, sql); return err }), sql)
	}
	_, err := tenancy.All[int](ctx, db, `insert into accounts (id) values ('2') returning 1`) // one round trip, same log
	require.NoError(t, err)
	list, err := tenancy.All[tenancy.AuditEntry](ctx, db, readAudit)
	require.NoError(t, err)
	texts := []string{}
	for _, e := range list {
		require.Equal(t, []string{"ann", "r1", "acme"}, []string{e.Actor, e.RequestID, e.TenantID})
		text, err := tenancy.One[string](ctx, db, `select action || ' ' || subject || ' ' || changes::text from tenancy.audit where seq = $1`, e.Seq)
		require.NoError(t, err)
		texts = append(texts, text)
	}
	require.Equal(t, []string{
		`public.accounts.insert accounts/1 {"id": {"new": "1"}, "email": {"new": "a@example.com"}, "prefs": {"new": {"a": null}}, ` +
			`"secret": {"hidden": true}, "tenant_id": {"new": "acme"}}`,
		`public.accounts.update accounts/1 {"email": {"new": "b@example.com", "old": "a@example.com"}, "secret": {"hidden": true}}`,
		`public.accounts.update accounts/1 {"prefs": {"new": null, "old": {"a": null}}}`,
		`public.plans.insert plans/pro {"name": {"new": "pro"}, "price": {"new": 10}}`,
		`public.accounts.delete accounts/1 {"id": {"old": "1"}, "email": {"old": "b@example.com"}, "prefs": {"old": null}, ` +
			`"secret": {"hidden": true}, "tenant_id": {"old": "acme"}}`,
		`public.accounts.insert accounts/2 {"id": {"new": "2"}, "email": {"new": null}, "prefs": {"new": null}, ` +
			`"secret": {"hidden": true}, "tenant_id": {"new": "acme"}}`,
	}, texts)

	// An actor is local to its transaction; rows changed by somebody without one say so.
	require.NoError(t, db.Do(tenancy.System(tenancy.WithID(t.Context(), "acme"), "clean up"), func(ctx context.Context, tx *tenancy.Tx) error {
		_, err := tx.Exec(ctx, `delete from accounts`)
		return err
	}))
	_, err = pg.Owner.Exec(t.Context(), `update plans set price = 11`)
	require.NoError(t, err)
	last, err := tenancy.All[tenancy.AuditEntry](tenancy.System(t.Context(), "test"), db, readAudit)
	require.NoError(t, err)
	cleaned, priced := last[len(last)-2], last[len(last)-1]
	require.Equal(t, []string{"", "clean up", "acme", "ashlar_system"}, []string{cleaned.Actor, cleaned.Reason, cleaned.TenantID, cleaned.Role})
	require.Equal(t, []string{"", "", "public.plans.update", "ashlar_owner"}, []string{priced.TenantID, priced.Reason, priced.Action, priced.Role})
}

func TestAuditPartitions(t *testing.T) {
	t.Parallel()
	db, pg := openAudit(t)
	ctx := t.Context()
	system := tenancy.System(ctx, "retention")
	parts := func(sql string) []string {
		t.Helper()
		list, err := tenancy.All[string](system, db, sql)
		require.NoError(t, err)
		return list
	}
	require.Len(t, parts(`select relname::text from pg_class where relname ~ '^audit_\d{6}$' and relkind = 'r'`), 4, "this month and three more")
	require.Empty(t, parts(`select done from tenancy.audit_partitions()`), "a second run has nothing to do")
	require.Len(t, parts(`select done from tenancy.audit_partitions(null, 5)`), 2)
	// Months that have passed, as if the schema were old.
	_, err := pg.Owner.Exec(ctx, `create table tenancy.audit_202001 partition of tenancy.audit for values from ('2020-01-01Z') to ('2020-02-01Z')`)
	require.NoError(t, err)
	require.Empty(t, parts(`select done from tenancy.audit_partitions(null)`), "without a limit nothing is dropped")
	require.Equal(t, []string{"audit_202001 dropped"}, parts(`select partition || ' ' || done from tenancy.audit_partitions('1 year')`))
	require.NoError(t, auditOne(tenancy.WithID(ctx, "acme"), db, "a"))
	require.Equal(t, []string{"r"}, parts(`select relkind::text from tenancy.audit a join pg_class c on c.oid = a.tableoid where relname ~ '^audit_\d{6}$'`))
	// A month that the partitions came too late for stays in the default partition.
	_, err = pg.Owner.Exec(ctx, `do $$ declare m timestamptz := date_trunc('month', now() at time zone 'UTC') at time zone 'UTC' - interval '1 month'; begin
		execute format('create table tenancy.audit_%s partition of tenancy.audit for values from (%L) to (%L)', to_char(m at time zone 'UTC', 'YYYYMM'), m, (m at time zone 'UTC' + interval '1 month') at time zone 'UTC');
	end $$`)
	require.NoError(t, err)
	require.Empty(t, parts(`select done from tenancy.audit_partitions('31 days')`), "neither this month nor the last is dropped")
	for _, keep := range []string{"-1 days", "0 days", "29 days"} {
		_, err = tenancy.All[string](system, db, `select done from tenancy.audit_partitions($1::text::interval)`, keep)
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr, keep)
		require.Equal(t, "22023", pgErr.Code, keep)
	}
	// Every partition is closed to the app role by itself too.
	require.Empty(t, parts(`select relname::text from pg_class where relname ~ '^audit_(\d{6}|default)$' and relkind = 'r' and not (relrowsecurity and relforcerowsecurity)`))
}
