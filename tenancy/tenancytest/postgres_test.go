package tenancytest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/guard"
	"github.com/ashlar-go/ashlar/tenancy/record"
	"github.com/ashlar-go/ashlar/tenancy/tenancytest"
)

// kits are the two that a test can choose from by one line.
func kits() map[string]func(t *testing.T) *tenancytest.Kit {
	return map[string]func(t *testing.T) *tenancytest.Kit{
		"memory":   func(t *testing.T) *tenancytest.Kit { return tenancytest.New(t) },
		"postgres": func(t *testing.T) *tenancytest.Kit { return tenancytest.Postgres(t, tenancytest.Migrations) },
	}
}

const (
	put  = `insert into suite_rows (key, value) values ($1, $2) on conflict (tenant_id, key) do update set value = excluded.value`
	list = `select key, value from suite_rows order by at`
)

// onBoth runs a test of the suite's table on a kit in memory and on one on PostgreSQL.
func onBoth(t *testing.T, body func(t *testing.T, kit *tenancytest.Kit)) {
	t.Parallel()
	for name, open := range kits() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit := open(t)
			kit.Migrate()
			body(t, kit)
		})
	}
}

func rows(t *testing.T, kit *tenancytest.Kit, tenant string) []string {
	t.Helper()
	got, err := tenancy.All[struct {
		Key   string
		Value int64
	}](kit.Tenant(tenant), kit.DB(), list)
	require.NoError(t, err)
	text := []string{}
	for _, r := range got {
		text = append(text, fmt.Sprint(r.Key, "=", r.Value))
	}
	return text
}

func TestKitsCountAndKeepTheSame(t *testing.T) {
	onBoth(t, func(t *testing.T, kit *tenancytest.Kit) {
		before := kit.RoundTrips()
		require.NoError(t, kit.DB().Do(kit.Tenant("acme"), func(ctx context.Context, tx *tenancy.Tx) error {
			if _, err := tx.Exec(ctx, put, "a", 1); err != nil {
				return err
			}
			tx.Emit(paid{1}, paid{2})
			tx.Audit(tenancy.Audit{Action: "pay", Subject: "invoice/1", After: paid{1}})
			return nil
		}))
		require.Equal(t, 2, kit.RoundTrips()-before)
		require.Equal(t, []paid{{1}, {2}}, tenancytest.Emitted[paid](kit))
		require.Equal(t, "acme", kit.Events()[0].Tenant)
		require.Len(t, kit.Audits(), 1)
		require.Equal(t, "invoice/1", kit.Audits()[0].Subject)
		require.JSONEq(t, "1", string(kit.Audits()[0].Changes["Invoice"].New))
		require.Equal(t, []string{"a=1"}, rows(t, kit, "acme"))
		require.Empty(t, rows(t, kit, "globex"))
	})
}

func TestKitsFailTheSame(t *testing.T) {
	onBoth(t, func(t *testing.T, kit *tenancytest.Kit) {
		runs := 0
		pay := func(event bool) error {
			runs = 0
			return kit.DB().Do(kit.Tenant("acme"), func(ctx context.Context, tx *tenancy.Tx) error {
				runs++
				if event {
					tx.Emit(paid{runs})
				}
				_, err := tx.Exec(ctx, put, "a", runs)
				return err
			})
		}
		kit.FailNext(tenancytest.ErrConnLost, &pgconn.PgError{Code: "40P01"})
		require.NoError(t, pay(true))
		require.Equal(t, 3, runs)
		require.Equal(t, []paid{{3}}, tenancytest.Emitted[paid](kit))
		require.Equal(t, []string{"a=3"}, rows(t, kit, "acme"))

		kit.LoseCommit(true)
		require.NoError(t, pay(true), "found by its event")
		require.Equal(t, 1, runs)
		require.Len(t, kit.Events(), 2)

		kit.LoseCommit(false)
		require.NoError(t, pay(true), "known not to have happened, so it ran again")
		require.Equal(t, 2, runs)
		require.Len(t, kit.Events(), 3)
		require.Equal(t, []string{"a=2"}, rows(t, kit, "acme"))

		kit.LoseCommit(true)
		require.ErrorIs(t, pay(false), tenancy.ErrCommitUnknown)
		require.Equal(t, []string{"a=1"}, rows(t, kit, "acme"))

		kit.FailNext(tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost,
			tenancytest.ErrConnLost, tenancytest.ErrConnLost, tenancytest.ErrConnLost)
		require.ErrorIs(t, pay(true), tenancytest.ErrConnLost, "six attempts are enough")
		require.Equal(t, 6, runs)
	})
}

func TestKitsFailInsideASavepoint(t *testing.T) {
	onBoth(t, func(t *testing.T, kit *tenancytest.Kit) {
		refused := &pgconn.PgError{Severity: "ERROR", Code: "23514", Message: "planned"}
		err := kit.DB().Do(kit.Tenant("acme"), func(ctx context.Context, tx *tenancy.Tx) error {
			if _, err := tx.Exec(ctx, put, "before", 1); err != nil {
				return err
			}
			err := kit.DB().Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
				kit.FailNext(refused)
				_, err := tx.Exec(ctx, put, "failed", 1)
				return err
			})
			require.ErrorIs(t, err, refused)
			_, err = tx.Exec(ctx, put, "after", 1) // nobody knows what a failed round trip has left
			require.ErrorIs(t, err, refused)
			return nil
		})
		require.ErrorIs(t, err, refused)
		require.Empty(t, rows(t, kit, "acme"))
	})
}

type thing struct {
	record.Base
	Name string
}

// TestRecordsRunOnBothKits: what package record sends needs no handler in memory, so nothing but the kit changes.
func TestRecordsRunOnBothKits(t *testing.T) {
	t.Parallel()
	things := record.Define[thing]("things", nil)
	schema := fstest.MapFS{"0001_things.sql": {Data: []byte(`create table things (tenant_id text not null, id text not null, version bigint not null,
		created_at timestamptz not null, updated_at timestamptz not null, name text not null, primary key (tenant_id, id)); select tenancy.protect('things')`)}}
	for name, kit := range map[string]*tenancytest.Kit{"memory": tenancytest.New(t), "postgres": tenancytest.Postgres(t, schema)} {
		v := thing{Name: "anvil"}
		require.NoError(t, things.Save(kit.Tenant("acme"), kit.DB(), &v), name)
		stale := v
		v.Name = "hammer"
		require.NoError(t, things.Save(kit.Tenant("acme"), kit.DB(), &v), name)
		require.ErrorIs(t, things.Save(kit.Tenant("acme"), kit.DB(), &stale), tenancy.ErrStale, name)
		got, err := things.Find(kit.Tenant("acme"), kit.DB(), v.ID)
		require.NoError(t, err, name)
		require.Equal(t, "hammer", got.Name, name)
		_, err = things.Find(kit.Tenant("globex"), kit.DB(), v.ID)
		require.ErrorIs(t, err, tenancy.ErrNotFound, name)
		kit.LoseCommit(false)
		v.Name = "tongs"
		require.ErrorIs(t, things.Save(kit.Tenant("acme"), kit.DB(), &v), tenancy.ErrCommitUnknown, name)
		// What only reads is asked again.
		for _, read := range []func() error{
			func() error { _, err := things.Find(kit.Tenant("acme"), kit.DB(), v.ID); return err },
			func() error { _, err := things.List(kit.Tenant("acme"), kit.DB(), record.Query{}); return err },
			func() error { _, err := things.Count(kit.Tenant("acme"), kit.DB(), record.Query{}); return err },
			func() error { _, err := things.Exists(kit.Tenant("acme"), kit.DB(), record.Query{}); return err },
		} {
			kit.LoseCommit(false)
			require.NoError(t, read(), name)
		}
		kit.LoseCommit(false)
		_, err = things.List(kit.Tenant("acme"), kit.DB(), record.Query{Lock: record.ForUpdate})
		require.ErrorIs(t, err, tenancy.ErrCommitUnknown, name)
	}
}

func TestWhatOnlyMemoryHasSaysSo(t *testing.T) {
	t.Parallel()
	kit := tenancytest.Postgres(t)
	table := tenancytest.NewTable[int, string](kit)
	require.ErrorContains(t, table.Put(kit.Tenant("acme"), 1, "one"), "lives in memory")
	id, ok := tenancy.IDFrom(tenancytest.NewKit().Tenant("acme"))
	require.True(t, ok)
	require.Equal(t, "acme", id)
}

// failing is a test that may fail without failing the one around it.
type failing struct {
	testing.TB
	errors []string
}

func (f *failing) Error(args ...any) { f.errors = append(f.errors, fmt.Sprint(args...)) }

func (f *failing) Fatal(args ...any) { panic(errors.New(fmt.Sprint(args...))) }

func TestRequireGuarded(t *testing.T) {
	t.Parallel()
	tenancytest.RequireGuarded(t, tenancytest.Postgres(t, tenancytest.Migrations), nil)

	forgotten := fstest.MapFS{"0001_forgotten.sql": {Data: []byte(`create table forgotten (tenant_id text primary key)`)}}
	f := &failing{TB: t}
	kit := tenancytest.Postgres(t, forgotten)
	tenancytest.RequireGuarded(f, kit, nil)
	require.Len(t, f.errors, 1)
	require.Contains(t, f.errors[0], "select tenancy.protect('public.forgotten')")
	f.errors = nil
	tenancytest.RequireGuarded(f, kit, &guard.Options{Allow: []guard.Exception{{Rule: "T01", Object: "public.forgotten", Reason: "a test"}}})
	require.Empty(t, f.errors)
	require.PanicsWithError(t, "tenancytest: there is nothing to audit in memory; make the kit with Postgres",
		func() { tenancytest.RequireGuarded(f, tenancytest.New(t), nil) })
}
