package registry_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
)

var atOnce = &registry.PurgeOptions{Grace: -1, Chunk: 100}

// deleting puts a tenant into the state before its purge.
func (h *house) deleting(t *testing.T, id string, ago time.Duration) {
	t.Helper()
	_, err := h.System.Exec(t.Context(), `update registry.tenants set state = 'deleting', state_at = now() - $2::interval where id = $1`, id, ago)
	require.NoError(t, err)
}

// counts returns the number of rows of a tenant by table, as the superuser of no policy would count them: from the system role,
// table by table, written down by hand.
func (h *house) counts(t *testing.T, id string) map[string]int64 {
	t.Helper()
	n := map[string]int64{}
	for table, where := range map[string]string{
		"app.customers": "tenant_id = $1", "app.orders": "tenant_id = $1", "app.a_lines": "tenant_id = $1", "app.folders": "tenant_id = $1",
		"app.nodes": "tenant_id = $1", "app.teams": "tenant_id = $1", "app.people": "tenant_id = $1", "app.kinds": "tenant_id = $1",
		`app.Odd table`: "owner = $1", "app.devices": "tenant_id = $1", "app.readings": "tenant_id = $1", "app.scores": "tenant_id = $1",
		"app.secrets": "tenant_id = $1", "registry.members": "tenant_id = $1", "tenancy.outbox": "tenant_id = $1", "tenancy.inbox": "tenant_id = $1",
	} {
		var c int64
		name := table
		if table == "app.Odd table" {
			name = `app."Odd table"`
		}
		require.NoError(t, h.System.QueryRow(t.Context(), `select count(*) from `+name+` where `+where, id).Scan(&c))
		n[table] = c
	}
	return n
}

// stuff adds what fill does not: rows that only the system role sees, an event and a mark.
func (h *house) stuff(t *testing.T, ctx context.Context, id string) {
	t.Helper()
	_, err := h.System.Exec(t.Context(), `insert into app.scores values ($1, 1), ($1, 2)`, id)
	require.NoError(t, err)
	require.NoError(t, h.db.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		tx.Audit(tenancy.Audit{Action: "test"})
		_, err := tx.Exec(ctx, `insert into tenancy.inbox (tenant_id, consumer, event_id) values ($1, 'c', gen_random_uuid())`, id)
		if err == nil {
			err = tenancy.Emit(ctx, "test", "", nil)
		}
		return err
	}))
}

func checkReport(t *testing.T, h *house, report *registry.PurgeReport, before map[string]int64) {
	t.Helper()
	deleted := map[string]int64{}
	for _, table := range report.Tables {
		require.Zero(t, table.Left, table.Name)
		deleted[table.Name] = table.Deleted
	}
	for table, n := range before {
		require.NotZero(t, n, "nothing to delete in %s", table)
		require.Equal(t, n, deleted[table], table)
	}
	for table, n := range h.counts(t, report.Tenant) {
		if table == "tenancy.outbox" {
			n-- // tenant.deleted
		}
		require.Zero(t, n, table)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, id := range []string{"acme", "globex"} {
		h.stuff(t, h.fill(t, id), id)
	}
	others := h.counts(t, "globex")
	acme := tenancy.WithActor(tenancy.WithID(t.Context(), "acme"), tenancy.Actor{ID: "ops", RequestID: "r1"})

	_, err := h.reg.Purge(acme, "contract ended", atOnce)
	require.ErrorIs(t, err, registry.ErrTransition, "an active tenant")
	require.NoError(t, h.reg.SetState(acme, registry.StateChange{To: registry.Deleting}))
	require.NoError(t, h.reg.SetState(acme, registry.StateChange{To: registry.Active}), "called off in time")
	h.deleting(t, "acme", 29*24*time.Hour)
	before := h.counts(t, "acme")
	_, err = h.reg.Purge(acme, "contract ended", nil)
	require.ErrorIs(t, err, registry.ErrTransition, "the grace period is not over")
	require.Equal(t, before, h.counts(t, "acme"))
	h.deleting(t, "acme", 31*24*time.Hour)
	_, err = h.reg.Purge(acme, "", nil)
	require.ErrorIs(t, err, registry.ErrMalformed)
	_, err = h.reg.Purge(tenancy.WithID(t.Context(), "nobody"), "test", nil)
	require.ErrorIs(t, err, registry.ErrUnknownTenant)
	_, err = h.reg.Purge(t.Context(), "test", nil)
	require.ErrorIs(t, err, tenancy.ErrNoTenant)

	report, err := h.reg.Purge(acme, "contract ended", nil)
	require.NoError(t, err)
	checkReport(t, h, report, before)
	require.Equal(t, others, h.counts(t, "globex"), "another tenant lost rows")
	require.Equal(t, "ops", report.Actor.ID)
	require.Equal(t, "contract ended", report.Reason)
	require.Empty(t, report.Findings)
	var state, slug string
	require.NoError(t, h.System.QueryRow(t.Context(), `select state, slug from registry.tenants where id = 'acme'`).Scan(&state, &slug))
	require.Equal(t, "deleted acme", state+" "+slug)
	require.Equal(t, []string{"slug"}, h.texts(t, `select kind from registry.names where tenant_id = $1`, "acme"), "a slug is not given away again")
	require.Contains(t, h.texts(t, `select action || ' ' || actor || ' ' || reason from tenancy.audit where tenant_id = $1`, "acme"), "tenant.deleted ops purge: contract ended")
	_, err = h.reg.Purge(acme, "again", atOnce)
	require.ErrorIs(t, err, registry.ErrTransition)
}

func TestPurgeReportsAreChained(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for _, id := range []string{"a", "b", "c"} {
		ctx := h.tenant(t, id)
		h.deleting(t, id, 0)
		_, err := h.reg.Purge(ctx, "test", atOnce)
		require.NoError(t, err)
	}
	reports, err := h.reg.PurgeReports(t.Context())
	require.NoError(t, err)
	require.Len(t, reports, 3)
	require.Equal(t, reports[1].Hash, reports[2].Previous)
	require.Equal(t, "b", reports[1].Tenant)
	for _, fault := range []string{
		`update registry.purges set report = replace(report, '"Tenant":"b"', '"Tenant":"x"') where number = 2`,
		`update registry.purges set report = replace(report, '"Tenant":"b"', '"Tenant":"x"'),
			hash = encode(sha256(replace(report, '"Tenant":"b"', '"Tenant":"x"')::bytea), 'hex') where number = 2`,
		`update registry.purges set finished_at = null where number = 1`,
	} {
		undo := h.texts(t, `select format('update registry.purges set report = %L, hash = %L, finished_at = %L where number = %s', report, hash, finished_at, number)
			from registry.purges where $1 <> ''`, "x")
		_, err = h.System.Exec(t.Context(), fault)
		require.NoError(t, err)
		_, err = h.reg.PurgeReports(t.Context())
		require.ErrorIs(t, err, registry.ErrPurgeChain, fault)
		for _, sql := range undo {
			_, err = h.System.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
		_, err = h.reg.PurgeReports(t.Context())
		require.NoError(t, err)
	}
}

func TestPurgeFindsWhatNothingProtects(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "open/0001_open.sql")
	acme := h.fill(t, "acme")
	_, err := h.System.Exec(t.Context(), `insert into app.forgotten values ('acme', 'secret')`)
	require.NoError(t, err)
	h.deleting(t, "acme", 0)
	report, err := h.reg.Purge(acme, "test", atOnce)
	require.ErrorIs(t, err, registry.ErrPurgeIncomplete)
	var found []string
	for _, f := range report.Findings {
		found = append(found, f.Name)
	}
	require.ElementsMatch(t, []string{"app.forgotten", "app.half", "app.summary", "foreigners.things"}, found)
	require.Empty(t, h.rows(t, "app.customers", "tenant_id", "acme"), "what is protected is deleted all the same")
	require.Equal(t, []string{"deleting"}, h.texts(t, `select state from registry.tenants where id = $1`, "acme"))

	err = h.reg.SetState(acme, registry.StateChange{To: registry.Active})
	require.ErrorIs(t, err, registry.ErrTransition, "a purge that has begun is not called off")
	report, err = h.reg.Purge(acme, "again", &registry.PurgeOptions{Grace: -1, Ignore: []string{"app.forgotten", "app.half", "app.summary", "foreigners.things"}})
	require.NoError(t, err)
	require.Contains(t, report.Kept, registry.LeftOut{Name: "app.forgotten", Why: "ignored by PurgeOptions.Ignore"})
	require.Equal(t, "test", report.Reason, "the purge that was begun")
}

// killer ends a context at the nth batch of a pool, before it is sent or after it was answered.
type killer struct {
	left  atomic.Int64
	after bool
	kill  context.CancelCauseFunc
}

func (k *killer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	if !k.after {
		k.count()
	}
	return ctx
}

func (k *killer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (k *killer) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {
	if k.after {
		k.count()
	}
}

func (k *killer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (k *killer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (k *killer) count() {
	if k.left.Add(-1) == 0 {
		k.kill(errKilled)
	}
}

var errKilled = context.Canceled

// attempt purges with a program of its own that dies at its nth batch.
func (h *house) attempt(t *testing.T, id string, n int64, after bool) (*registry.PurgeReport, error) {
	t.Helper()
	ctx, kill := context.WithCancelCause(tenancy.WithID(t.Context(), id))
	defer kill(nil)
	k := &killer{after: after, kill: kill}
	k.left.Store(n)
	cfg, err := pgxpool.ParseConfig(h.SystemURL)
	require.NoError(t, err)
	cfg.ConnConfig.Tracer = k
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	defer pool.Close()
	db, err := tenancy.New(h.App, &tenancy.Options{System: pool, Seal: h.seal})
	require.NoError(t, err)
	reg, err := registry.New(db, nil)
	require.NoError(t, err)
	return reg.Purge(ctx, "test", &registry.PurgeOptions{Grace: -1, Chunk: 150})
}

// TestPurgeSurvivesKills kills the purge before and after its first batch, its second, and so on, each time a program of its
// own, until one lives long enough; then at random places. The report counts every row once.
func TestPurgeSurvivesKills(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ids := []string{"before", "after", "random"}
	for _, id := range ids {
		h.stuff(t, h.fill(t, id), id)
	}
	for _, id := range ids {
		counted := h.counts(t, id)
		h.deleting(t, id, 0)
		kills := 0
		for n := int64(1); ; n += int64(testenv.Rounds(8, 1)) {
			at, after := n, id == "after"
			if id == "random" {
				at, after = 1+rand.Int64N(2+n), rand.N(2) == 0
			}
			report, err := h.attempt(t, id, at, after)
			if err == nil {
				checkReport(t, h, report, counted)
				break
			}
			require.ErrorIs(t, err, errKilled)
			if kills++; kills > 500 {
				t.Fatal("the purge makes no progress")
			}
			if h.texts(t, `select state from registry.tenants where id = $1`, id)[0] == "deleted" { // killed after its last COMMIT
				reports, err := h.reg.PurgeReports(t.Context())
				require.NoError(t, err)
				checkReport(t, h, &reports[len(reports)-1], counted)
				break
			}
		}
		t.Logf("%s: %d kills", id, kills)
	}
}

// TestPurgesMeetWritersAndEachOther: several purges of one tenant at once, while somebody who has not heard of it goes on
// writing for a while, leave nothing and count right.
func TestPurgesMeetWritersAndEachOther(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.stuff(t, h.fill(t, "acme"), "acme")
	acme := tenancy.WithID(t.Context(), "acme")
	h.deleting(t, "acme", 0)
	before := h.counts(t, "acme")
	var wg sync.WaitGroup
	var wrote atomic.Int64
	wg.Go(func() {
		for i := range 20 {
			err := h.db.Do(acme, func(ctx context.Context, tx *tenancy.Tx) error {
				_, err := tx.Exec(ctx, `insert into app.kinds (id) values ($1)`, 1000+i)
				return err
			})
			if err == nil {
				wrote.Add(1)
			}
		}
	})
	reports := make([]*registry.PurgeReport, 3)
	errs := make([]error, 3)
	for i := range reports {
		wg.Go(func() { reports[i], errs[i] = h.reg.Purge(acme, "test", &registry.PurgeOptions{Grace: -1, Chunk: 50}) })
	}
	wg.Wait()
	finished, err := h.reg.PurgeReports(t.Context())
	require.NoError(t, err)
	require.Len(t, finished, 1, "errors: %v", errs)
	late := int64(len(h.rows(t, "app.kinds", "tenant_id", "acme"))) // written after the last look
	for _, table := range finished[0].Tables {
		require.Zero(t, table.Left, table.Name)
		want, counted := before[table.Name]
		if table.Name == "app.kinds" {
			want += wrote.Load() - late
		}
		if counted {
			require.Equal(t, want, table.Deleted, table.Name)
		}
	}
}

// TestPurgeOfAMovedTenantIsAnother than that of the tenant, whose deletion it does not begin, and which has a reason of its own.
func TestPurgeOfAMovedTenantIsAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "open/0001_open.sql")
	acme := h.fill(t, "acme")
	require.NoError(t, h.db.Restrict(acme, tenancy.NoAccess))
	_, err := h.reg.Purge(acme, "moved", &registry.PurgeOptions{Moved: true, Grace: -1})
	require.ErrorIs(t, err, registry.ErrPurgeIncomplete)
	h.deleting(t, "acme", 0)
	require.NoError(t, h.reg.SetState(acme, registry.StateChange{To: registry.Active}), "its deletion has not begun")
	h.deleting(t, "acme", 0)
	ignore := []string{"app.forgotten", "app.half", "app.summary", "foreigners.things"}
	report, err := h.reg.Purge(acme, "gone", &registry.PurgeOptions{Grace: -1, Ignore: ignore})
	require.NoError(t, err)
	require.Equal(t, "gone", report.Reason)
	require.False(t, report.Moved)
}

// TestPurgeStopsWhenATenantComesBack, before it deletes what the tenant has brought along.
func TestPurgeStopsWhenATenantComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	acme := h.fill(t, "acme")
	require.NoError(t, h.db.Restrict(acme, tenancy.NoAccess))
	before := len(h.rows(t, "app.orders", "tenant_id", "acme"))
	_, err := h.Owner.Exec(t.Context(), `create function app.let_in() returns trigger language plpgsql as $$
		begin delete from tenancy.restriction where tenant = 'acme'; return null; end $$;
		create trigger let_in after delete on app.orders for each statement execute function app.let_in()`)
	require.NoError(t, err)
	_, err = h.reg.Purge(acme, "moved", &registry.PurgeOptions{Moved: true, Grace: -1, Chunk: 1})
	require.ErrorIs(t, err, registry.ErrTransition)
	require.Len(t, h.rows(t, "app.orders", "tenant_id", "acme"), before-1)
}
