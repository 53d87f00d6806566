package billing_test

import (
	"context"
	"errors"
	"fmt"
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

// Without an address to return to there is no page, and the error names what to set.
func TestCheckoutWithoutReturnURL(t *testing.T) {
	t.Parallel()
	b, err := billing.New(billingtest.Plans(), billingtest.NewProvider(nil), billingtest.NewStore(), nil)
	require.NoError(t, err)
	_, err = b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro"})
	require.ErrorIs(t, err, billing.ErrInvalid)
	require.ErrorContains(t, err, "set CheckoutRequest.SuccessURL or ")
	_, err = b.Checkout(t.Context(), billing.CheckoutRequest{Plan: "pro", SuccessURL: "https://app.example"})
	require.NoError(t, err)
}

// A live subscription hides an ended one, also an older live one a newer ended one. That there were two
// live ones is reported once.
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
	b.deliver(t)
	errs := b.reports.take()
	require.Len(t, errs, 1)
	require.ErrorContains(t, errs[0], "cancel and refund one")
	require.ErrorContains(t, errs[0], older)
	require.ErrorContains(t, errs[0], newer)
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

// First checkouts at once, with lost answers, may make several customers; every page sells to the one bound.
func TestOneCustomerPerTenant(t *testing.T) {
	t.Parallel()
	b := setup(t, billing.Options{})
	p := &manyCustomers{Provider: b.fake, buyers: map[string]int{}, together: make(chan struct{})}
	bill, err := billing.New(billingtest.Plans(), p, b.store, nil)
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
	bound, err := b.store.Customer(t.Context(), p.Name(), "default")
	require.NoError(t, err)
	require.Equal(t, map[string]int{bound: 8}, p.buyers)
}

// manyCustomers makes a new customer each time, as a provider does for a new key, answers the first eight
// together, so that nobody has saved one yet, and loses two answers.
type manyCustomers struct {
	billing.Provider
	mu       sync.Mutex
	made     int
	buyers   map[string]int
	together chan struct{} // closed when eight have asked
}

func (p *manyCustomers) Customer(ctx context.Context, spec billing.CustomerSpec) (string, error) {
	id, err := p.Provider.Customer(ctx, spec)
	p.mu.Lock()
	p.made++
	n := p.made
	if n == 8 {
		close(p.together)
	}
	p.mu.Unlock()
	<-p.together
	if n <= 2 {
		return "", &billing.Error{Op: "customer", Kind: billing.ErrUnavailable, Retryable: true}
	}
	return fmt.Sprint(id, n), err
}

func (p *manyCustomers) Checkout(ctx context.Context, spec billing.CheckoutSpec) (billing.Session, error) {
	p.mu.Lock()
	p.buyers[spec.Customer]++
	p.mu.Unlock()
	return p.Provider.Checkout(ctx, spec)
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
