package outbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/outbox"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

func TestMarksAreForgotten(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	ctx := tenancy.WithID(t.Context(), "acme")
	once := func(id string) (first bool) {
		require.NoError(t, db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) (err error) {
			first, err = outbox.Once(ctx, tx, "mailer", id)
			return err
		}))
		return first
	}
	const oldID, newID = "0198c0de-0000-7000-8000-000000000001", "0198c0de-0000-7000-8000-000000000002"
	require.True(t, once(oldID))
	require.True(t, once(newID))
	_, err := backdating(t, pg).Exec(t.Context(), `update tenancy.inbox set at = now() - interval '31 days' where event_id = $1`, oldID)
	require.NoError(t, err)
	done, err := outbox.Maintain(t.Context(), db, &outbox.MaintainOptions{Marks: -1})
	require.NoError(t, err)
	require.Zero(t, done.Marks)
	done, err = outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Marks)
	require.True(t, once(oldID))
	require.False(t, once(newID))
}

func TestAppRoleCannotReadOrDrop(t *testing.T) {
	t.Parallel()
	_, pg := open(t)
	day := age(t, pg, 9)
	old(t, pg, day, "a", 1)
	for _, sql := range []string{
		`select * from tenancy.` + name(day), `delete from tenancy.` + name(day), `truncate tenancy.` + name(day),
		`insert into tenancy.` + name(day) + ` (id, tenant_id, type, payload) values (gen_random_uuid(), 'acme', 'x', '')`,
		`select payload from tenancy.outbox`, `delete from tenancy.outbox`, `select * from tenancy.outbox_default`,
		`drop table tenancy.` + name(day), `select * from tenancy.outbox_sink`, `select * from tenancy.outbox_projection`,
		`select tenancy.outbox_retire(current_date - 9, '{}', '{}', 50)`, `select tenancy.outbox_retire(current_date - 9, '{}', '{}', '{}', 50)`, `select tenancy.outbox_drop(current_date - 9, true)`,
		`select tenancy.outbox_add(current_date + 30, 50)`, `select tenancy.outbox_lock(current_date - 9, 50)`,
		`select tenancy.outbox_freeze(50)`, `select tenancy.outbox_needed(current_date - 9, '{}', '{}')`,
		`select * from tenancy.outbox_tick('1:1:', null, 0, 1, 1, '0', '')`, `select tenancy.outbox_close('tenancy.outbox_default')`,
	} {
		var pgErr *pgconn.PgError
		_, err := pg.App.Exec(t.Context(), sql)
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, sql)
	}
	for _, sql := range []string{
		`delete from tenancy.` + name(day), `truncate tenancy.` + name(day), `update tenancy.outbox set payload = ''`,
	} {
		var pgErr *pgconn.PgError
		_, err := pg.System.Exec(t.Context(), sql)
		require.ErrorAs(t, err, &pgErr, sql)
		require.Equal(t, "42501", pgErr.Code, sql)
	}
	_, err := pg.System.Exec(t.Context(), `select tenancy.outbox_drop((now() at time zone 'UTC')::date, true)`)
	require.ErrorContains(t, err, "is in use")
	var without []string
	require.NoError(t, pg.System.QueryRow(t.Context(), `select coalesce(array_agg(relname::text), '{}') from pg_class c
		where relnamespace = 'tenancy'::regnamespace and relname like 'outbox%' and relkind in ('r', 'p')
		and not (relrowsecurity and relforcerowsecurity and exists (select from pg_policy where polrelid = c.oid))`).Scan(&without))
	require.Empty(t, without)
}

// TestErasedEventsAreNotMissed deletes the anchor of a sink, as the purge of a tenant does.
func TestErasedEventsAreNotMissed(t *testing.T) {
	t.Parallel()
	db, pg := open(t)
	acme, other := tenancy.WithID(t.Context(), "acme"), tenancy.WithID(t.Context(), "other")
	require.NoError(t, change(acme, db, "a", func() {}))
	var sink tenancytest.Sink
	stop := run(t, db, &sink, nil)
	wait(t, sink.Wait, 1)
	stop()
	_, err := pg.System.Exec(t.Context(), `delete from tenancy.outbox where tenant_id = 'acme'`)
	require.NoError(t, err)
	_, err = outbox.Maintain(t.Context(), db, nil)
	require.NoError(t, err)
	require.NoError(t, change(other, db, "a", func() {}))
	stop = run(t, db, &sink, nil)
	wait(t, sink.Wait, 2)
	stop()
	var erased int
	require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from tenancy.outbox_erased`).Scan(&erased))
	require.Equal(t, 1, erased)
	_, err = pg.System.Exec(t.Context(), `update tenancy.outbox_erased set at = at - interval '30 days'`)
	require.Error(t, err, "nobody changes what was erased")
	_, err = pg.Owner.Exec(t.Context(), `grant update on tenancy.outbox_erased to tenancy_system`)
	require.NoError(t, err)
	_, err = pg.System.Exec(t.Context(), `update tenancy.outbox_erased set at = at - interval '30 days'`)
	require.NoError(t, err)
	_, err = outbox.Maintain(t.Context(), db, nil) // it knows that the sink has a later anchor
	require.NoError(t, err)
	require.NoError(t, pg.System.QueryRow(t.Context(), `select count(*) from tenancy.outbox_erased`).Scan(&erased))
	require.Zero(t, erased)
}
