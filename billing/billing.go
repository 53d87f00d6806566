package billing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Billing answers entitlements, opens checkouts and follows the provider. Make one with [New].
type Billing struct {
	catalog  Catalog
	provider Provider
	store    Store
	opts     *Options
}

// Options of [New]. Nil means all defaults.
type Options struct {
	// Tenant finds the tenant of a context; false makes every call fail with ErrNoTenant.
	// Nil means a single tenant, stored as "default".
	Tenant func(context.Context) (id string, ok bool)
	// Usage reports how much of a feature the tenant of ctx has in use now; Can adds its n to that.
	// It runs only where a numeric limit applies. Nil means zero: then n is the whole amount.
	Usage func(ctx context.Context, feature string) (int64, error)
	// WebhookTimeout bounds the handling of one webhook. Zero means 15 s, below what providers wait for;
	// negative means no bound but the request's.
	WebhookTimeout time.Duration
	// Logger gets what no caller sees. Nil means slog.Default().
	Logger *slog.Logger
	// Errors gets failures of webhooks and what they reveal: a price of no plan, a tenant that pays twice.
	// Its context does not end. Nil means they are only logged.
	Errors interface {
		Report(ctx context.Context, err error, stack []byte)
	}
	// Metrics gets "billing.webhooks" by outcome and "billing.denials" by feature. Nil means none.
	Metrics interface {
		Add(ctx context.Context, name string, n float64, kv ...string)
	}
}

// soleTenant is the tenant of programs that have no tenants.
const soleTenant = "default"

func (o *Options) tenant(ctx context.Context) (string, error) {
	if o == nil || o.Tenant == nil {
		return soleTenant, nil
	}
	id, ok := o.Tenant(ctx)
	if !ok || id == "" {
		return "", ErrNoTenant
	}
	return id, nil
}

func (o *Options) usage(ctx context.Context, feature string) (int64, error) {
	if o == nil || o.Usage == nil {
		return 0, nil
	}
	return o.Usage(ctx, feature)
}

func (o *Options) webhookTimeout() time.Duration {
	if o == nil || o.WebhookTimeout == 0 {
		return 15 * time.Second
	}
	return o.WebhookTimeout
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) count(ctx context.Context, name string, kv ...string) {
	if o != nil && o.Metrics != nil {
		o.Metrics.Add(ctx, name, 1, kv...)
	}
}

// report hands an error that no caller will see to whoever watches, also when it is that ctx ended.
func (o *Options) report(ctx context.Context, err error) {
	ctx = context.WithoutCancel(ctx)
	if o != nil && o.Errors != nil {
		o.Errors.Report(ctx, err, nil)
	}
	o.logger().ErrorContext(ctx, "billing: webhook", "error", err)
}

// New validates the catalogue. It does no I/O and starts nothing.
func New(plans Catalog, provider Provider, store Store, opts *Options) (*Billing, error) {
	switch {
	case provider == nil:
		return nil, errors.New("billing: provider is nil")
	case store == nil:
		return nil, errors.New("billing: store is nil")
	}
	if err := plans.validate(); err != nil {
		return nil, err
	}
	return &Billing{catalog: plans, provider: provider, store: store, opts: opts}, nil
}

// Subscription returns the tenant's current subscription: one in force before one that awaits payment
// before one that ended, and among those the newest. The zero Subscription, with State "", means that
// the tenant never had one. It reads the store only.
func (b *Billing) Subscription(ctx context.Context) (Subscription, error) {
	tenant, err := b.opts.tenant(ctx)
	if err != nil {
		return Subscription{}, err
	}
	return b.subscription(ctx, tenant)
}

func (b *Billing) subscription(ctx context.Context, tenant string) (Subscription, error) {
	subs, err := b.store.Subscriptions(ctx, b.provider.Name(), tenant)
	if err != nil {
		return Subscription{}, fmt.Errorf("billing: read subscription: %w", err)
	}
	s := current(subs)
	if p := b.catalog.planOf(s.Price); p != nil {
		s.Plan = p.ID
	} else if b.catalog.plan(s.Plan) == nil {
		s.Plan = ""
	}
	return s, nil
}

// Plan returns the plan in force: the subscription's if that is entitled, else the catalogue's default,
// else the zero Plan. The maps and slices of the result are the catalogue's: do not write to them.
func (b *Billing) Plan(ctx context.Context) (Plan, error) {
	s, err := b.Subscription(ctx)
	if err != nil {
		return Plan{}, err
	}
	if p := b.inForce(s); p != nil {
		return *p, nil
	}
	return Plan{}, nil
}

func (b *Billing) inForce(s Subscription) *Plan {
	if s.State.Entitled() {
		if p := b.catalog.plan(s.Plan); p != nil {
			return p
		}
	}
	return b.catalog.plan(b.catalog.Default)
}
