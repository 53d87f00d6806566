package billing_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

func TestCheckoutSellsAPlan(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	ctx := as(t.Context(), "acme")
	plan, err := b.Plan(ctx)
	require.NoError(t, err)
	require.Equal(t, "free", plan.ID)

	b.subscribe(t, "acme", "pro")
	sub, err := b.Subscription(ctx)
	require.NoError(t, err)
	require.Equal(t, billing.StateActive, sub.State)
	require.Equal(t, "pro", sub.Plan)
	require.Equal(t, "acme", sub.Tenant)
	plan, err = b.Plan(ctx)
	require.NoError(t, err)
	require.Equal(t, "pro", plan.ID)

	plan, err = b.Plan(as(t.Context(), "globex"))
	require.NoError(t, err)
	require.Equal(t, "free", plan.ID, "another tenant has nothing of it")
}

func TestCheckoutRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	for _, c := range []struct {
		req  billing.CheckoutRequest
		want error
	}{
		{billing.CheckoutRequest{}, billing.ErrUnknownPlan},
		{billing.CheckoutRequest{Plan: "gold"}, billing.ErrUnknownPlan},
		{billing.CheckoutRequest{Plan: "free"}, billing.ErrUnknownPlan},
		{billing.CheckoutRequest{Plan: "team", Interval: billing.Yearly}, billing.ErrUnknownPlan},
		{billing.CheckoutRequest{Plan: "pro", Currency: "EUR"}, billing.ErrUnknownPlan},
		{billing.CheckoutRequest{Plan: "pro", SuccessURL: "/relative"}, billing.ErrInvalid},
		{billing.CheckoutRequest{Plan: "pro", CancelURL: "javascript://x"}, billing.ErrInvalid},
	} {
		b.fake.SetFault(func(context.Context, billingtest.Call) error { t.Error("the provider was called"); return nil })
		_, err := b.Checkout(as(t.Context(), "acme"), c.req)
		require.ErrorIs(t, err, c.want, "%+v", c.req)
	}
}

func TestCheckoutDoesNotSellTwice(t *testing.T) {
	t.Parallel()
	for state, refuses := range map[billing.State]bool{
		billing.StateIncomplete: false, billing.StateExpired: false, billing.StateTrialing: true, billing.StateActive: true,
		billing.StatePastDue: true, billing.StateUnpaid: true, billing.StatePaused: true, billing.StateCanceled: false,
	} {
		b := setup(t, billing.Options{})
		s, err := b.Checkout(as(t.Context(), "acme"), billing.CheckoutRequest{Plan: "pro"})
		require.NoError(t, err)
		id, err := b.fake.Complete(s.ID)
		require.NoError(t, err)
		require.NoError(t, b.fake.SetState(id, state))
		b.deliver(t)
		_, err = b.Checkout(as(t.Context(), "acme"), billing.CheckoutRequest{Plan: "team"})
		if refuses {
			require.ErrorIs(t, err, billing.ErrAlreadySubscribed, state)
		} else {
			require.NoError(t, err, state)
		}
	}
}

// A live subscription hides an ended one, also an older live one a newer ended one.
func TestCurrentSubscriptionIsTheLiveOne(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	ctx := as(t.Context(), "acme")
	one, err := b.Checkout(ctx, billing.CheckoutRequest{Plan: "pro"})
	require.NoError(t, err)
	two, err := b.Checkout(ctx, billing.CheckoutRequest{Plan: "team"})
	require.NoError(t, err)
	older, err := b.fake.Complete(one.ID)
	require.NoError(t, err)
	newer, err := b.fake.Complete(two.ID)
	require.NoError(t, err)
	require.NoError(t, b.fake.Update(newer, func(s *billing.Subscription) { s.Created = s.Created.Add(time.Hour) }))
	b.deliver(t)
	sub, err := b.Subscription(ctx)
	require.NoError(t, err)
	require.Equal(t, newer, sub.ID)

	require.NoError(t, b.fake.SetState(newer, billing.StateCanceled))
	b.deliver(t)
	sub, err = b.Subscription(ctx)
	require.NoError(t, err)
	require.Equal(t, older, sub.ID)
}

func TestCheckoutKey(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	open := func(tenant, key string) string {
		s, err := b.Checkout(as(t.Context(), tenant), billing.CheckoutRequest{Plan: "pro", Key: key})
		require.NoError(t, err)
		return s.ID
	}
	require.Equal(t, open("acme", "nonce"), open("acme", "nonce"))
	require.NotEqual(t, open("acme", "nonce"), open("globex", "nonce"), "keys are the tenant's")
	require.NotEqual(t, open("acme", ""), open("acme", ""))
	_, err := b.Checkout(as(t.Context(), "acme"), billing.CheckoutRequest{Plan: "team", Key: "nonce"})
	require.ErrorIs(t, err, billing.ErrConflict)
}

// Two first checkouts at once, with lost answers, make one customer at the provider.
func TestOneCustomerPerTenant(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	var mu sync.Mutex
	keys, lost := map[string]bool{}, 0
	record := &keyRecorder{Provider: b.fake, record: func(key string) {
		mu.Lock()
		defer mu.Unlock()
		keys[key] = true
	}}
	b.fake.SetFault(func(_ context.Context, c billingtest.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Op == "customer" && c.Done && lost < 2 {
			lost++
			return &billing.Error{Op: "customer", Kind: billing.ErrUnavailable, Retryable: true}
		}
		return nil
	})
	bill, err := billing.New(billingtest.Plans(), record, b.store, nil)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				_, err := bill.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
				if err == nil {
					return
				}
				if !errors.Is(err, billing.ErrUnavailable) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, keys, 1, "all attempts carry one idempotency key")
	require.Equal(t, 2, lost)
}

// keyRecorder sees the customers' idempotency keys.
type keyRecorder struct {
	billing.Provider
	record func(key string)
}

func (r *keyRecorder) Customer(ctx context.Context, spec billing.CustomerSpec) (string, error) {
	r.record(spec.Key)
	return r.Provider.Customer(ctx, spec)
}

func TestPortal(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	_, err := b.Portal(as(t.Context(), "acme"), billing.PortalRequest{})
	require.ErrorIs(t, err, billing.ErrNotFound)
	b.subscribe(t, "acme", "pro")
	s, err := b.Portal(as(t.Context(), "acme"), billing.PortalRequest{ReturnURL: "https://app.example/"})
	require.NoError(t, err)
	require.NotEmpty(t, s.URL)
	_, err = b.Portal(as(t.Context(), "acme"), billing.PortalRequest{ReturnURL: "app"})
	require.ErrorIs(t, err, billing.ErrInvalid)
}
