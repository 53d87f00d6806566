package billing

import (
	"context"
	"errors"
)

// Decision is the answer of [Billing.Can]. The zero value denies.
type Decision struct {
	Allowed bool
	Feature string
	Plan    string // ID of the plan in force; empty if none
	Limit   Limit  // of that plan
	Used    int64  // as Options.Usage reported; 0 where no numeric limit applies
	// Reason is nil if allowed, else one of ErrLimit, ErrNotIncluded, ErrPaymentRequired, ErrNoTenant,
	// ErrUnknownFeature, ErrInvalid and ErrUnavailable.
	Reason  error
	Upgrade string // ID of the first plan for sale that would allow it; empty if none
	cause   error
}

// Err is nil if allowed, else a [*DeniedError].
func (d Decision) Err() error {
	if d.Allowed {
		return nil
	}
	if d.Reason == nil {
		d.Reason = ErrNotIncluded
	}
	return &DeniedError{Decision: d, cause: d.cause}
}

// Can reports whether the tenant may have n more of a feature than it uses now: n = 1 before creating
// one, 0 to ask whether the plan has the feature at all. A [Flag] is asked with 1 or 0. It reads the store
// once, never calls the provider, and denies whatever it cannot find out: see Decision.Reason.
// It reserves nothing: two concurrent calls may both be allowed the last unit.
func (b *Billing) Can(ctx context.Context, feature string, n int64) Decision {
	d := b.decide(ctx, feature, n)
	d.Feature = feature
	if !d.Allowed {
		name := feature
		if errors.Is(d.Reason, ErrUnknownFeature) {
			name = "unknown" // a caller's string must not make a new time series
		}
		b.opts.count(ctx, "billing.denials", "feature", name)
	}
	return d
}

func (b *Billing) decide(ctx context.Context, feature string, n int64) Decision {
	if !b.catalog.feature(feature) {
		return Decision{Reason: ErrUnknownFeature}
	}
	if n < 0 {
		return Decision{Reason: ErrInvalid}
	}
	tenant, err := b.opts.tenant(ctx)
	if err != nil {
		return Decision{Reason: ErrNoTenant}
	}
	sub, err := b.subscription(ctx, tenant)
	if err != nil {
		return Decision{Reason: ErrUnavailable, cause: err}
	}
	plan := b.inForce(sub)
	var d Decision
	if plan != nil {
		d.Plan, d.Limit = plan.ID, plan.Grants[feature]
	}
	if d.Limit > 0 {
		if d.Used, err = b.opts.usage(ctx, feature); err != nil {
			d.Reason, d.cause = ErrUnavailable, err
			return d
		}
		d.Used = max(d.Used, 0)
	}
	if d.Limit.allows(d.Used, n) {
		d.Allowed = true
		return d
	}
	d.Reason = ErrNotIncluded
	if d.Limit > 0 {
		d.Reason = ErrLimit
	}
	if owed := b.owed(sub); owed != nil && owed.Grants[feature].allows(d.Used, n) {
		d.Reason = ErrPaymentRequired
		return d
	}
	d.Upgrade = b.catalog.upgrade(plan, feature, d.Used, n)
	return d
}

// owed is the plan that a payment would bring into force, if any.
func (b *Billing) owed(s Subscription) *Plan {
	if s.State == "" || s.State.Ended() || s.State.Entitled() {
		return nil
	}
	return b.catalog.plan(s.Plan)
}
