package billing_test

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
)

func TestCan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		plan    string        // subscribed to; empty: none
		state   billing.State // moved to; empty: as bought
		feature string
		used, n int64
		reason  error
		upgrade string
		status  int
	}{
		{name: "free within", feature: "projects", used: 2, n: 1},
		{name: "free at the limit", feature: "projects", used: 3, n: 1, reason: billing.ErrLimit, upgrade: "pro", status: 402},
		{name: "free far beyond", feature: "projects", used: 3, n: 48, reason: billing.ErrLimit, upgrade: "team", status: 402},
		{name: "free without flag", feature: "sso", n: 1, reason: billing.ErrNotIncluded, upgrade: "team", status: 402},
		{name: "over the limit may ask", feature: "projects", used: 9, n: 0},
		{name: "pro within", plan: "pro", feature: "projects", used: 49, n: 1},
		{name: "pro beyond", plan: "pro", feature: "projects", used: 50, n: 1, reason: billing.ErrLimit, upgrade: "team", status: 402},
		{name: "huge amounts do not wrap", plan: "pro", feature: "projects", used: math.MaxInt64, n: math.MaxInt64, reason: billing.ErrLimit, upgrade: "team", status: 402},
		{name: "nonsense usage counts as none", plan: "pro", feature: "projects", used: -10, n: 51, reason: billing.ErrLimit, upgrade: "team", status: 402},
		{name: "trial has all", plan: "team", feature: "sso", n: 1},
		{name: "unlimited", plan: "team", feature: "projects", used: 1 << 40, n: 1 << 40},
		{name: "past due still has it", plan: "pro", state: billing.StatePastDue, feature: "projects", used: 10, n: 1},
		{name: "unpaid must pay", plan: "pro", state: billing.StateUnpaid, feature: "projects", used: 10, n: 1, reason: billing.ErrPaymentRequired, status: 402},
		{name: "unpaid keeps the default plan", plan: "pro", state: billing.StateUnpaid, feature: "projects", used: 1, n: 1},
		{name: "unpaid needs a bigger plan", plan: "pro", state: billing.StateUnpaid, feature: "sso", n: 1, reason: billing.ErrNotIncluded, upgrade: "team", status: 402},
		{name: "paused must pay", plan: "team", state: billing.StatePaused, feature: "sso", n: 1, reason: billing.ErrPaymentRequired, status: 402},
		{name: "canceled is free", plan: "team", state: billing.StateCanceled, feature: "sso", n: 1, reason: billing.ErrNotIncluded, upgrade: "team", status: 402},
		{name: "undeclared", feature: "teleport", n: 1, reason: billing.ErrUnknownFeature, status: 500},
		{name: "negative", feature: "projects", n: -1, reason: billing.ErrInvalid, status: 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, billing.Options{Usage: func(ctx context.Context, feature string) (int64, error) {
				tenant, _ := tenantFrom(ctx)
				require.Equal(t, "acme", tenant)
				return c.used, nil
			}})
			if c.plan != "" {
				id := b.subscribe(t, "acme", c.plan)
				if c.state != "" {
					require.NoError(t, b.fake.SetState(id, c.state))
					b.deliver(t)
				}
			}
			b.fake.Down(true) // entitlements never need the provider
			d := b.Can(as(t.Context(), "acme"), c.feature, c.n)
			require.Equal(t, c.reason == nil, d.Allowed, "%+v", d)
			require.Equal(t, c.feature, d.Feature)
			require.Equal(t, c.reason, d.Reason)
			require.Equal(t, c.upgrade, d.Upgrade)
			if c.reason == nil {
				require.NoError(t, d.Err())
				return
			}
			require.ErrorIs(t, d.Err(), c.reason)
			denied, ok := errors.AsType[*billing.DeniedError](d.Err())
			require.True(t, ok)
			require.Equal(t, c.status, denied.HTTPStatus())
		})
	}
}

// The best plan's limit is a refusal that no payment lifts.
func TestCanForbidsWhatIsNotForSale(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	plans := billing.Catalog{
		Features: []billing.Feature{billing.Quota("seats")},
		Plans:    []billing.Plan{{ID: "only", Grants: billing.Grants{"seats": 5}, Prices: []billing.Price{billing.Flat(1, "USD", billing.Monthly)}}},
	}
	only, err := billing.New(plans, b.fake, b.store, nil)
	require.NoError(t, err)

	d := only.Can(t.Context(), "seats", 1)
	require.Equal(t, "only", d.Upgrade, "without a plan the first one is the upgrade")
	require.Empty(t, d.Plan)

	s, err := only.Checkout(t.Context(), billing.CheckoutRequest{Plan: "only"})
	require.NoError(t, err)
	b.fake.Connect(only.Webhook())
	_, err = b.fake.Complete(s.ID)
	require.NoError(t, err)
	d = only.Can(t.Context(), "seats", 6)
	require.Empty(t, d.Upgrade)
	denied, _ := errors.AsType[*billing.DeniedError](d.Err())
	require.Equal(t, 403, denied.HTTPStatus())
	require.EqualError(t, d.Err(), `billing: plan limit reached: "seats" on plan "only", 0 of 5 used`)
}

func TestCanFailsClosed(t *testing.T) {
	t.Parallel()
	t.Run("no tenant, no I/O", func(t *testing.T) {
		t.Parallel()
		b := setup(t, billing.Options{})
		b.store.SetFault(func(context.Context, string) error { t.Error("the store was called"); return nil })
		require.ErrorIs(t, b.Can(t.Context(), "projects", 1).Err(), billing.ErrNoTenant)
		_, err := b.Subscription(t.Context())
		require.ErrorIs(t, err, billing.ErrNoTenant)
		_, err = b.Plan(as(t.Context(), ""))
		require.ErrorIs(t, err, billing.ErrNoTenant)
		_, err = b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
		require.ErrorIs(t, err, billing.ErrNoTenant)
		_, err = b.Portal(t.Context(), billing.PortalRequest{})
		require.ErrorIs(t, err, billing.ErrNoTenant)
	})
	t.Run("store down", func(t *testing.T) {
		t.Parallel()
		b := setup(t, billing.Options{})
		down := errors.New("connection refused")
		b.store.SetFault(func(context.Context, string) error { return down })
		err := b.Can(as(t.Context(), "acme"), "projects", 1).Err()
		require.ErrorIs(t, err, billing.ErrUnavailable)
		require.ErrorIs(t, err, down)
		denied, _ := errors.AsType[*billing.DeniedError](err)
		require.Equal(t, 503, denied.HTTPStatus())
	})
	t.Run("usage unknown", func(t *testing.T) {
		t.Parallel()
		down := errors.New("count failed")
		b := setup(t, billing.Options{Usage: func(context.Context, string) (int64, error) { return 0, down }})
		require.ErrorIs(t, b.Can(as(t.Context(), "acme"), "projects", 1).Err(), down)
	})
	t.Run("zero decision", func(t *testing.T) {
		t.Parallel()
		require.ErrorIs(t, billing.Decision{}.Err(), billing.ErrNotIncluded)
	})
}

func TestDenialsAreCountedWithBoundedLabels(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	b.Can(as(t.Context(), "acme"), "sso", 1)
	b.Can(as(t.Context(), "acme"), "user input 1", 1)
	b.Can(as(t.Context(), "acme"), "user input 2", 1)
	require.Equal(t, map[string]float64{"sso": 1, "unknown": 2}, b.counts.n)
}
