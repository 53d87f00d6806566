package billing_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
)

type tenantKey struct{}

// as is what tenancy.WithID does.
func as(ctx context.Context, tenant string) context.Context {
	return context.WithValue(ctx, tenantKey{}, tenant)
}

func tenantFrom(ctx context.Context) (string, bool) {
	id, ok := ctx.Value(tenantKey{}).(string)
	return id, ok
}

// reports collects what billing reports.
type reports struct {
	mu    sync.Mutex
	errs  []error
	ended int // reports whose context had ended
}

func (r *reports) Report(ctx context.Context, err error, _ []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		r.ended++
	}
	r.errs = append(r.errs, err)
}

func (r *reports) take() []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := r.errs
	r.errs = nil
	return errs
}

// counts collects metrics by their last label.
type counts struct {
	mu sync.Mutex
	n  map[string]float64
}

func (c *counts) Add(_ context.Context, _ string, n float64, kv ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]float64{}
	}
	c.n[kv[len(kv)-1]] += n
}

type bench struct {
	*billing.Billing
	fake    *billingtest.Provider
	store   *billingtest.Store
	reports *reports
	counts  *counts
}

// setup is a Billing on fakes, not connected: webhooks wait in the fake's queue.
func setup(t *testing.T, opts billing.Options) bench {
	t.Helper()
	b := bench{
		fake: billingtest.NewProvider(&billingtest.ProviderOptions{ReturnURL: "https://app.example/billing"}), store: billingtest.NewStore(),
		reports: &reports{}, counts: &counts{},
	}
	opts.Tenant, opts.Errors, opts.Metrics, opts.Logger = tenantFrom, b.reports, b.counts, slog.New(slog.DiscardHandler)
	var err error
	b.Billing, err = billing.New(billingtest.Plans(), b.fake, b.store, &opts)
	require.NoError(t, err)
	return b
}

// subscribe buys a plan for a tenant and delivers the webhooks.
func (b bench) subscribe(t *testing.T, tenant, plan string) (subscription string) {
	t.Helper()
	s, err := b.Checkout(as(t.Context(), tenant), billing.CheckoutRequest{Plan: plan})
	require.NoError(t, err)
	id, err := b.fake.Complete(s.ID)
	require.NoError(t, err)
	b.deliver(t)
	return id
}

// deliver sends all queued webhooks, which must be accepted.
func (b bench) deliver(t *testing.T) {
	t.Helper()
	for _, d := range b.fake.Deliveries() {
		require.Equal(t, 204, d.Send(b.Webhook()))
	}
}

var quiet = slog.New(slog.DiscardHandler)
