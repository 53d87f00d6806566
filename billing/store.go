package billing

import "context"

// Store remembers customers, events and subscriptions. Every method is one atomic transition, safe
// for concurrent use by many processes. `billingtest.RunStore` checks an implementation.
type Store interface {
	// Customer returns the provider's id of the tenant, or ErrNotFound.
	Customer(ctx context.Context, provider, tenant string) (id string, err error)
	// SaveCustomer binds tenant and customer unless the tenant has a customer already, adopts the
	// customer's subscriptions that had no tenant, and returns the customer that is bound. It is durable
	// on return, also inside a caller's transaction. A customer of another tenant is ErrConflict.
	SaveCustomer(ctx context.Context, provider, tenant, id string) (bound string, err error)
	// Ingest records an event once and raises the generation of its object by one; an event known already
	// changes nothing. Durable on return.
	Ingest(ctx context.Context, e Event) (Mark, error)
	// Apply stores a subscription that was fetched after generation gen was ingested, if no such or
	// younger generation was applied before and the stored state [State.CanBecome] the new one. Either
	// way gen counts as applied. Tenant is ignored: it is the one whose customer it is, or empty.
	Apply(ctx context.Context, s Subscription, gen int64) (Change, error)
	// Subscriptions returns the tenant's subscriptions: those not ended first, newest first, at most 16.
	Subscriptions(ctx context.Context, provider, tenant string) ([]Subscription, error)
}

// Mark says how far an object is: it needs a fetch while Applied < Generation.
type Mark struct{ Generation, Applied int64 }

// Change is what Apply did.
type Change struct {
	Before Subscription // zero if there was none
	After  Subscription // what is stored now, Tenant included
	Stored bool         // false: fenced off by a younger generation, or an impossible transition
}
