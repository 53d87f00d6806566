package billing

import (
	"context"
	"net/http"
	"time"
)

// Provider is a payment provider. Implementations are safe for concurrent use, honour ctx, retry
// nothing for longer than ctx allows, and fail with an [*Error]. A call that carries a Key is
// idempotent: repeated with the same Key it has one effect and one answer, and with the same Key
// and other arguments it fails with [ErrConflict]. `billingtest.RunProvider` checks an implementation.
type Provider interface {
	// Name separates providers, accounts and test mode in the store: "stripe". Constant.
	Name() string
	// Customer creates the tenant's customer and returns its id.
	Customer(ctx context.Context, spec CustomerSpec) (id string, err error)
	// Checkout opens a hosted page that sells a subscription.
	Checkout(ctx context.Context, spec CheckoutSpec) (Session, error)
	// Portal opens a hosted page where a customer manages cards, invoices and the subscription.
	Portal(ctx context.Context, spec PortalSpec) (Session, error)
	// Subscription fetches the present state, at least as new as any event received before the call.
	// Tenant is not filled in. An unknown id is ErrNotFound.
	Subscription(ctx context.Context, id string) (Subscription, error)
	// Event verifies a webhook and says what it is about. Anything not proven to come from the provider
	// is ErrSignature. Events that concern no Kind of this package, another account or another mode
	// have an empty Kind.
	Event(header http.Header, body []byte) (Event, error)
}

// CustomerSpec asks for a customer.
type CustomerSpec struct {
	Tenant string // noted at the provider, for people
	Key    string // idempotency key
}

// CheckoutSpec asks for a checkout page.
type CheckoutSpec struct {
	Tenant, Customer      string
	Plan                  string // noted on the subscription
	Price                 Price  // with Key; the provider refuses to sell at another amount
	TrialDays             int
	SuccessURL, CancelURL string // empty: the provider's own default, or ErrInvalid if it has none
	Key                   string // idempotency key
}

// PortalSpec asks for a portal page.
type PortalSpec struct {
	Customer  string
	ReturnURL string // empty: the provider's own default
}

// Session is a page at the provider. Send the user to URL with 303; it is a capability, valid for
// hours: do not log it.
type Session struct{ ID, URL string }

// Event is a verified webhook, reduced to what it is about.
type Event struct {
	Provider string // filled in by Billing
	ID       string // the provider's; repeated by redeliveries
	Type     string // the provider's, for the records
	Kind     string // of the object to look at; empty: nothing this package follows
	Object   string // the provider's id of that object
	At       time.Time
}

// KindSubscription is the kind of a subscription.
const KindSubscription = "subscription"
