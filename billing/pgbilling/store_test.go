package pgbilling_test

import (
	"context"
	"io/fs"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/pgbilling"
	"github.com/ashlar-go/ashlar/internal/testenv"
)

// tenancySchema is package tenancy's, whose tenant_id() the policies use. It is read as files, since blocks
// do not import each other.
var tenancySchema = os.DirFS("../../tenancy/migrations")

func setup(t *testing.T) (*pgbilling.Store, *testenv.PG) {
	t.Helper()
	pg := testenv.Postgres(t, pgbilling.Migrations)
	s, err := pgbilling.New(pg.System, nil)
	require.NoError(t, err)
	return s, pg
}

func TestConformance(t *testing.T) {
	t.Parallel()
	billingtest.RunStore(t, func(t *testing.T) billing.Store {
		s, _ := setup(t)
		return s
	}, billingtest.Features{Real: true})
}

func TestNewRefusesNilPool(t *testing.T) {
	t.Parallel()
	_, err := pgbilling.New(nil, nil)
	require.ErrorContains(t, err, "pool is nil")
}

type txKey struct{}

func txFrom(ctx context.Context) (pgx.Tx, bool) {
	tx, ok := ctx.Value(txKey{}).(pgx.Tx)
	return tx, ok
}

// as runs f in a transaction of pool with a tenant set the way package tenancy does.
func as(t *testing.T, pool *pgxpool.Pool, tenant string, f func(ctx context.Context, tx pgx.Tx)) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `select set_config('tenancy.tenant', $1, true)`, tenant)
	require.NoError(t, err)
	f(context.WithValue(t.Context(), txKey{}, tx), tx)
}

// subscribe stores an active subscription of a tenant.
func subscribe(t *testing.T, s billing.Store, tenant string) {
	t.Helper()
	_, err := s.SaveCustomer(t.Context(), "p", tenant, "c-"+tenant)
	require.NoError(t, err)
	m, err := s.Ingest(t.Context(), billing.Event{Provider: "p", ID: "e-" + tenant, Type: "t", Kind: billing.KindSubscription, Object: "s-" + tenant})
	require.NoError(t, err)
	c, err := s.Apply(t.Context(), billing.Subscription{Provider: "p", ID: "s-" + tenant, Customer: "c-" + tenant, State: billing.StateActive}, m.Generation)
	require.NoError(t, err)
	require.True(t, c.Stored)
}

func TestReadsJoinTheCallersTransaction(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancySchema, pgbilling.Migrations)
	s, err := pgbilling.New(pg.System, &pgbilling.Options{Tx: txFrom})
	require.NoError(t, err)
	subscribe(t, s, "acme")
	subscribe(t, s, "globex")

	as(t, pg.App, "acme", func(ctx context.Context, tx pgx.Tx) {
		subs, err := s.Subscriptions(ctx, "p", "acme")
		require.NoError(t, err)
		require.Len(t, subs, 1)
		// Asking for somebody else inside acme's transaction finds nothing: the read ran under its policies.
		subs, err = s.Subscriptions(ctx, "p", "globex")
		require.NoError(t, err)
		require.Empty(t, subs)
		_, err = s.Customer(ctx, "p", "globex")
		require.ErrorIs(t, err, billing.ErrNotFound)
	})
}

// A rolled back unit of work must not forget a customer that exists at the provider.
func TestSaveCustomerSurvivesTheCallersRollback(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancySchema, pgbilling.Migrations)
	s, err := pgbilling.New(pg.System, &pgbilling.Options{Tx: txFrom})
	require.NoError(t, err)
	as(t, pg.App, "acme", func(ctx context.Context, tx pgx.Tx) {
		_, err := s.SaveCustomer(ctx, "p", "acme", "c")
		require.NoError(t, err)
		require.NoError(t, tx.Rollback(ctx))
	})
	id, err := s.Customer(t.Context(), "p", "acme")
	require.NoError(t, err)
	require.Equal(t, "c", id)
}

func TestRowLevelSecurity(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, tenancySchema, pgbilling.Migrations)
	s, err := pgbilling.New(pg.System, nil)
	require.NoError(t, err)
	subscribe(t, s, "acme")
	subscribe(t, s, "globex")

	for _, table := range []string{"customers", "subscriptions"} {
		as(t, pg.App, "acme", func(ctx context.Context, tx pgx.Tx) {
			rows, err := tx.Query(ctx, `select tenant_id from billing.`+table)
			require.NoError(t, err)
			tenants, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.Equal(t, []string{"acme"}, tenants, table)
		})
		_, err := pg.App.Exec(t.Context(), `select * from billing.`+table)
		require.ErrorContains(t, err, "no tenant", table)
		for _, write := range []string{`delete from billing.` + table, `update billing.` + table + ` set tenant_id = 'acme'`} {
			as(t, pg.App, "acme", func(ctx context.Context, tx pgx.Tx) {
				_, err := tx.Exec(ctx, write)
				require.ErrorContains(t, err, "permission denied", write)
			})
		}
	}
	for _, table := range []string{"events", "syncs"} {
		_, err := pg.App.Exec(t.Context(), `select * from billing.`+table)
		require.ErrorContains(t, err, "permission denied", table)
	}

	// The owner has no policy, so forced security hides everything from it.
	var n int
	require.NoError(t, pg.Owner.QueryRow(t.Context(), `select count(*) from billing.subscriptions`).Scan(&n))
	require.Zero(t, n)
}

// Without the tenancy schema the app role gets an error and never rows.
func TestAppReadsNothingWithoutTenancy(t *testing.T) {
	t.Parallel()
	s, pg := setup(t)
	subscribe(t, s, "acme")
	_, err := pg.App.Exec(t.Context(), `select * from billing.subscriptions`)
	require.ErrorContains(t, err, "tenancy")
}

// A database that gets the tenancy schema after billing isolates at once, and once more 0002_tenancy.sql, any number of
// times, makes the policies those of all others.
func TestTenancyComesLater(t *testing.T) {
	t.Parallel()
	pg := testenv.Postgres(t, pgbilling.Migrations, tenancySchema)
	s, err := pgbilling.New(pg.System, nil)
	require.NoError(t, err)
	subscribe(t, s, "acme")
	subscribe(t, s, "globex")
	again, err := fs.ReadFile(pgbilling.Migrations, "0002_tenancy.sql")
	require.NoError(t, err)
	for _, policy := range []string{"billing.tenant_id()", "tenancy.tenant_id()", "tenancy.tenant_id()"} {
		for _, table := range []string{"customers", "subscriptions"} {
			var text string
			require.NoError(t, pg.Owner.QueryRow(t.Context(), `select qual from pg_policies
				where schemaname = 'billing' and tablename = $1 and policyname = 'tenancy_app'`, table).Scan(&text))
			require.Contains(t, text, policy)
			as(t, pg.App, "acme", func(ctx context.Context, tx pgx.Tx) {
				rows, err := tx.Query(ctx, `select tenant_id from billing.`+table)
				require.NoError(t, err)
				tenants, err := pgx.CollectRows(rows, pgx.RowTo[string])
				require.NoError(t, err)
				require.Equal(t, []string{"acme"}, tenants)
			})
		}
		_, err = pg.Owner.Exec(t.Context(), string(again))
		require.NoError(t, err)
	}
}

// TestNothingOfAPurgedTenantStays deletes as the purge of package registry does, table by table by the tenant.
func TestNothingOfAPurgedTenantStays(t *testing.T) {
	t.Parallel()
	s, pg := setup(t)
	subscribe(t, s, "acme")
	subscribe(t, s, "globex")
	_, err := s.Ingest(t.Context(), billing.Event{Provider: "p", ID: "late", Type: "t", Kind: billing.KindSubscription, Object: "s-acme"})
	require.NoError(t, err)
	for _, table := range []string{"subscriptions", "customers"} {
		_, err = pg.System.Exec(t.Context(), `delete from billing.`+table+` where tenant_id = 'acme'`)
		require.NoError(t, err)
	}
	rows, err := pg.System.Query(t.Context(), `select 'event ' || object_id from billing.events
		union all select 'sync ' || object_id from billing.syncs
		union all select 'subscription ' || subscription_id from billing.subscriptions
		union all select 'customer ' || customer_id from billing.customers order by 1`)
	require.NoError(t, err)
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"customer c-globex", "event s-globex", "subscription s-globex", "sync s-globex"}, left)
}
