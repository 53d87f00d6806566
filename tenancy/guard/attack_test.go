package guard_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/internal/testenv"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
)

// target is what gets attacked. Every row carries the mark of its tenant, so that a foreign row is known by its content.
var target = fstest.MapFS{"0001_target.sql": {Data: []byte(`
create table items (tenant_id text not null, id bigint not null, mark text not null, n bigint not null default 0,
    writer text not null default '', words tsvector generated always as (to_tsvector('simple', mark)) stored, primary key (tenant_id, id));
create index on items using gin (words);
create function stamp() returns trigger language plpgsql as $$ begin new.writer := tenancy.tenant_or_none(); return new; end $$;
create trigger stamp before insert or update on items for each row execute function stamp();
create table lines (tenant_id text not null, id bigint not null, item bigint not null, mark text not null,
    primary key (tenant_id, id), foreign key (tenant_id, item) references items (tenant_id, id) on delete cascade);
create table readings (tenant_id text not null, at bigint not null, mark text not null, primary key (tenant_id, at)) partition by range (at);
create table readings_low partition of readings for values from (0) to (20);
create table readings_all partition of readings default;
grant select on readings_low to tenancy_app;
select tenancy.protect(t) from unnest(array['items', 'lines', 'readings']::regclass[]) t;
create view item_view with (security_invoker = true) as select * from items;
create view owner_view as select * from items;                 -- T10: safe only because of FORCE
create function item_marks() returns setof text language sql stable as 'select mark from items';
create function owner_marks() returns setof text language sql stable security definer as 'select mark from items'; -- T12: the same
create materialized view totals as select mark from items;     -- T11: empty, as its owner sees nothing
grant select on totals to tenancy_app;
grant select on item_view, owner_view to tenancy_app;
`)}}

const tenants = 5

func tenantName(i int) string { return fmt.Sprintf("tenant%d", i) }

var marks = regexp.MustCompile(`mark-([a-z0-9]+)-`)

// campaign is one attack on one database.
type campaign struct {
	db        *tenancy.DB
	unit      func(ctx context.Context, w *worker, eager bool, fn func(context.Context, unit) error) error
	ops       []op
	notices   sync.Map // *pgconn.PgConn -> *worker
	total     atomic.Int64
	own       atomic.Int64 // operations that read rows of their own tenant
	foreign   atomic.Int64
	byOp      sync.Map // name -> *atomic.Int64 of operations with own rows
	examples  sync.Map
	lastError sync.Map // name -> error, for the log
}

// unit is what an operation works with: a *tenancy.Tx or, in the planted faults, a connection.
type unit interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	Conn() *pgx.Conn
}

// worker attacks as one tenant after the other.
type worker struct {
	*campaign
	*rand.Rand
	own, other string
	serial     int // of the operation, for names
	seen       int // own marks in it
}

// look searches a text for marks.
func (w *worker) look(name, text string) {
	for _, m := range marks.FindAllStringSubmatch(text, -1) {
		if m[1] == w.own {
			w.seen++
			continue
		}
		w.foreign.Add(1)
		w.examples.LoadOrStore(name, fmt.Sprintf("%s read %s", w.own, m[0]))
	}
}

// fill replaces the names in a statement.
func (w *worker) fill(sql string) string {
	return strings.NewReplacer("{own}", w.own, "{other}", w.other, "{n}", fmt.Sprint(w.IntN(40)), "{x}", fmt.Sprint(w.serial), "{param}", "$1").Replace(sql)
}

// read runs a statement to its end and looks at everything that comes back.
func (w *worker) read(ctx context.Context, u unit, name, sql string, args ...any) error {
	rows, err := u.Query(ctx, sql, args...)
	if err == nil {
		for rows.Next() {
			for _, v := range rows.RawValues() {
				w.look(name, string(v))
			}
		}
		rows.Close()
		err = rows.Err()
	}
	if err != nil {
		w.look(name, err.Error()) // errors quote values
	}
	return err
}

func (w *worker) round(ctx context.Context) {
	a := w.IntN(tenants)
	w.own, w.other, w.seen = tenantName(a), tenantName((a+1+w.IntN(tenants-1))%tenants), 0
	w.serial = w.IntN(1 << 30)
	o := w.ops[w.IntN(len(w.ops))]
	ctx = tenancy.WithID(ctx, w.own)
	if err := o.run(ctx, w); err != nil {
		w.lastError.Store(o.name, err)
	}
	w.total.Add(1)
	if w.seen > 0 {
		w.campaign.own.Add(1)
		n, _ := w.byOp.LoadOrStore(o.name, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}
}

// run attacks with some goroutines until n operations were done.
func (c *campaign) run(t *testing.T, n int) {
	t.Helper()
	var wg sync.WaitGroup
	var started atomic.Int64
	for seed := range 8 {
		wg.Go(func() {
			w := &worker{campaign: c, Rand: rand.New(rand.NewPCG(uint64(seed), uint64(n)))}
			for started.Add(1) <= int64(n) {
				w.round(t.Context())
			}
		})
	}
	wg.Wait()
	t.Logf("%d operations, %d of them read rows of their own tenant, %d foreign rows", c.total.Load(), c.own.Load(), c.foreign.Load())
	c.examples.Range(func(name, example any) bool { t.Log(name, ": ", example); return true })
}

// clean fails unless the campaign was harmless, and was one.
func (c *campaign) clean(t *testing.T, pg *testenv.PG) {
	t.Helper()
	require.Zero(t, c.foreign.Load(), "foreign rows")
	require.Greater(t, c.own.Load()*2, c.total.Load(), "an attack that reads nothing proves nothing")
	for _, o := range c.ops {
		if _, ok := c.byOp.Load(o.name); !ok && o.own {
			err, _ := c.lastError.Load(o.name)
			t.Errorf("operation %q never read a row of its own: %v", o.name, err)
		}
	}
	for what, query := range map[string]string{
		"rows written to another tenant": `select count(*) from (select tenant_id, mark from items union all select tenant_id, mark from lines
			union all select tenant_id, mark from readings) x where mark not like 'mark-' || tenant_id || '-%'`,
		"rows written by another tenant": `select count(*) from items where writer not in ('', tenant_id)`,
		"rows deleted":                   `select (select count(*) from items where id < 40) + (select count(*) from lines) + (select count(*) from readings) - 600`,
	} {
		var n int
		require.NoError(t, pg.System.QueryRow(t.Context(), query).Scan(&n))
		require.Zero(t, n, what)
	}
}

// arena is a database with its tenants' rows.
type arena struct {
	*testenv.PG
	pool, system *pgxpool.Pool // what the units use: direct or through PgBouncer
	seal         *tenancy.Seal
}

func newArena(t *testing.T, sealed, pooled bool) *arena {
	t.Helper()
	a := &arena{PG: testenv.Postgres(t, tenancy.Migrations, target)}
	search, err := guard.SearchFunc(guard.Search{Name: "search_items", Table: guard.Table{Name: "public.items"}, Vector: "words"})
	require.NoError(t, err)
	_, err = a.Owner.Exec(t.Context(), search)
	require.NoError(t, err)
	if sealed {
		a.seal, err = tenancy.NewSeal("k1", []byte("a secret that is long enough for a seal"))
		require.NoError(t, err)
		require.NoError(t, tenancy.InstallSeal(t.Context(), a.Owner, a.seal, nil))
	}
	through := a.PG
	if pooled {
		through = testenv.PgBouncer(t, a.PG)
	}
	a.pool, a.system = through.App, through.System
	_, err = a.System.Exec(t.Context(), `insert into items (tenant_id, id, mark) select 'tenant' || t, i, 'mark-tenant' || t || '-' || i
		from generate_series(0, $1 - 1) t, generate_series(0, 39) i`, tenants)
	require.NoError(t, err)
	_, err = a.System.Exec(t.Context(), `insert into lines select tenant_id, id, id, mark from items; insert into readings select tenant_id, id, mark from items`,
		pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err)
	_, err = a.Owner.Exec(t.Context(), `refresh materialized view totals`)
	require.NoError(t, err)
	return a
}

// campaign attacks through units of work.
func (a *arena) campaign(t *testing.T, ops []op) *campaign {
	t.Helper()
	c := &campaign{ops: ops}
	cfg := a.pool.Config()
	cfg.ConnConfig.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if w, ok := c.notices.Load(conn); ok {
			w.(*worker).look("notice", n.Message)
		}
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	c.db, err = tenancy.New(pool, &tenancy.Options{System: a.system, Seal: a.seal})
	require.NoError(t, err)
	c.unit = func(ctx context.Context, w *worker, eager bool, fn func(context.Context, unit) error) error {
		return c.db.With(&tenancy.TxOptions{Eager: eager}).Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
			if eager {
				conn := tx.Conn().PgConn()
				c.notices.Store(conn, w)
				defer c.notices.Delete(conn)
			}
			return fn(ctx, tx)
		})
	}
	return c
}

// naive attacks what most programs do instead: the setting is made for the session, in a statement of its own.
func (a *arena) naive(ops []op) *campaign {
	return &campaign{ops: ops, unit: func(ctx context.Context, w *worker, _ bool, fn func(context.Context, unit) error) error {
		conn, err := a.pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		if _, err := conn.Exec(ctx, `select set_config('tenancy.tenant', $1, false)`, w.own); err != nil {
			return err
		}
		return fn(ctx, conn)
	}}
}

func TestAttack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sealed, pooled bool
		short, full    int
	}{
		"sealed":                    {true, false, 1600, 60_000},
		"sealed, PgBouncer":         {true, true, 1500, 50_000},
		"unsealed, no injected SQL": {false, false, 1000, 10_000},
		"unsealed, PgBouncer":       {false, true, 1000, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArena(t, c.sealed, c.pooled)
			attack := a.campaign(t, without(operations(), !c.sealed, c.pooled))
			start := time.Now()
			attack.run(t, testenv.Rounds(c.short, c.full))
			t.Log("took", time.Since(start).Round(time.Millisecond))
			attack.clean(t, a.PG)
		})
	}
}

// TestAttackFindsPlantedFaults runs the same attack where something is wrong.
func TestAttackFindsPlantedFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		plant          string
		sealed, pooled bool
		naive          bool
		injected       bool // SQL, into unsealed units
		sessions       bool // objects of sessions, behind PgBouncer
	}{
		"FORCE is missing":                   {plant: `alter table items no force row level security`, sealed: true},
		"a policy with OR":                   {plant: `alter policy tenancy_app on items using (tenant_id = (select tenancy.tenant_id()) or n < 0 or id = 7)`, sealed: true},
		"a partition without a policy":       {plant: `alter table readings_low disable row level security`, sealed: true},
		"a materialized view":                {plant: `alter materialized view totals owner to current_user; refresh materialized view totals`, sealed: true},
		"a setting of the session":           {naive: true, pooled: true},
		"injected SQL without a seal":        {injected: true},
		"a search function without a tenant": {plant: `create or replace function owner_marks() returns setof text language sql stable security definer as 'select mark from items'; alter function owner_marks() owner to tenancy_system`, sealed: true},
		"session objects behind PgBouncer":   {sealed: true, pooled: true, sessions: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArena(t, c.sealed, c.pooled)
			_, err := superuser(t, a.PG).Exec(t.Context(), c.plant)
			require.NoError(t, err)
			ops := without(operations(), !c.sealed && !c.injected, !c.sessions)
			attack := a.campaign(t, ops)
			if c.naive {
				attack = a.naive(ops)
			}
			for range 20 { // rarely more than one
				if attack.run(t, 500); attack.foreign.Load() > 0 {
					return
				}
			}
			t.Error("the attack found nothing")
		})
	}
}

// TestWithoutTenantNothingIsRead asks connections in every state for rows, outside of any unit.
func TestWithoutTenantNothingIsRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sealed, pooled bool }{
		"sealed": {true, false}, "unsealed": {false, false}, "sealed, PgBouncer": {true, true}, "unsealed, PgBouncer": {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArena(t, c.sealed, c.pooled)
			db, err := tenancy.New(a.pool, &tenancy.Options{Seal: a.seal})
			require.NoError(t, err)
			ctx := tenancy.WithID(t.Context(), tenantName(0))
			value, err := tenancy.One[string](ctx, db, `select current_setting('tenancy.tenant')`)
			require.NoError(t, err)
			conn, err := a.pool.Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			exec := func(sql string) {
				t.Helper()
				_, err := conn.Exec(t.Context(), strings.ReplaceAll(sql, "{value}", value), pgx.QueryExecModeSimpleProtocol)
				require.NoError(t, err, sql)
			}
			closed := func(state string) {
				t.Helper()
				for _, sql := range []string{
					`select mark from items`, `select mark from item_view`, `select item_marks()`, `select mark from readings`, `select mark from search_items('mark')`,
					`update items set n = 1`, `delete from lines`, `insert into items (id, mark) values (1000, 'x')`, `select tenancy.tenant_id()`,
				} {
					exec(`begin; savepoint s`)
					_, err := conn.Exec(t.Context(), sql, pgx.QueryExecModeExec)
					var answer *pgconn.PgError
					require.True(t, errors.As(err, &answer) && answer.Code == "42501", "%s: %s: %v", state, sql, err)
					exec(`rollback to s; rollback`)
				}
			}
			closed("fresh")
			exec(`begin; select set_config('tenancy.tenant', '{value}', true); select count(*) from items; commit`)
			closed("used")
			exec(`reset tenancy.tenant`)
			closed("after RESET")
			if !c.pooled {
				exec(`discard all`)
				closed("after DISCARD ALL")
			}
			exec(`begin; select set_config('tenancy.tenant', '{value}', true); rollback`)
			closed("after a rollback")
			_, err = conn.Exec(t.Context(), strings.ReplaceAll(`begin; select set_config('tenancy.tenant', '{value}', true); select 1/0`, "{value}", value), pgx.QueryExecModeSimpleProtocol)
			require.Error(t, err)
			exec(`rollback`)
			closed("after an error")
			exec(`begin; savepoint s; select set_config('tenancy.tenant', '{value}', true); rollback to s`)
			_, err = conn.Exec(t.Context(), `select mark from items`, pgx.QueryExecModeExec)
			require.ErrorContains(t, err, "42501", "the setting of a savepoint that was rolled back")
			exec(`rollback`)
			closed("after a savepoint")
		})
	}
}
