package billing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
)

// CheckoutRequest says what to buy. Only Plan is required.
type CheckoutRequest struct {
	Plan     string   // ID
	Interval Interval // empty: the plan's first price
	Currency string   // ISO 4217; empty: the plan's first price
	// SuccessURL and CancelURL are absolute http(s) URLs the provider returns the buyer to. Empty: the
	// provider's own default (stripebilling.Options.ReturnURL); without SuccessURL and default Checkout
	// fails with ErrInvalid. Reaching SuccessURL proves no payment.
	SuccessURL, CancelURL string
	// Key makes the call idempotent: put a nonce into the form, and a double click opens one session.
	// Providers remember failures too, so render a new nonce with each form. Empty: each call opens its own.
	Key string
}

// PortalRequest asks for a portal page.
type PortalRequest struct {
	ReturnURL string // absolute http(s) URL; empty: the provider's own default
}

// Checkout opens a page where the tenant buys a plan; redirect to the result's URL. The subscription
// appears when the provider's webhook arrives. It fails with ErrUnknownPlan, with ErrAlreadySubscribed
// if the store knows a live subscription, or with an [*Error]. The guard sees the store only: two
// pages opened before either is paid could both be paid unless the provider forbids it (Stripe: "limit
// customers to one subscription"). When that happens, Options.Errors hears of it, to refund one.
func (b *Billing) Checkout(ctx context.Context, r CheckoutRequest) (Session, error) {
	tenant, err := b.opts.tenant(ctx)
	if err != nil {
		return Session{}, err
	}
	plan := b.catalog.plan(r.Plan)
	if plan == nil {
		return Session{}, fmt.Errorf("%w: plan %q", ErrUnknownPlan, r.Plan)
	}
	price, ok := plan.price(r.Interval, r.Currency)
	if !ok {
		return Session{}, fmt.Errorf("%w: plan %q has no price for interval %q, currency %q", ErrUnknownPlan, r.Plan, r.Interval, r.Currency)
	}
	if err := errors.Join(checkURL("SuccessURL", r.SuccessURL), checkURL("CancelURL", r.CancelURL)); err != nil {
		return Session{}, err
	}
	sub, err := b.subscription(ctx, tenant)
	if err != nil {
		return Session{}, err
	}
	if sub.rank() > 1 {
		return Session{}, fmt.Errorf("%w: it is %s; use Portal to change it", ErrAlreadySubscribed, sub.State)
	}
	key := r.Key
	if key == "" {
		key = rand.Text()
	}
	customer, err := b.customer(ctx, tenant, key)
	if err != nil {
		return Session{}, err
	}
	return b.provider.Checkout(ctx, CheckoutSpec{
		Tenant: tenant, Customer: customer,
		Plan: plan.ID, Price: price, TrialDays: plan.TrialDays,
		SuccessURL: r.SuccessURL, CancelURL: r.CancelURL,
		Key: idempotencyKey("checkout", tenant, key),
	})
}

// Portal opens the page where the tenant manages its payment methods, invoices and subscription. A
// tenant that never began a checkout has no customer: ErrNotFound.
func (b *Billing) Portal(ctx context.Context, r PortalRequest) (Session, error) {
	tenant, err := b.opts.tenant(ctx)
	if err != nil {
		return Session{}, err
	}
	if err := checkURL("ReturnURL", r.ReturnURL); err != nil {
		return Session{}, err
	}
	customer, err := b.store.Customer(ctx, b.provider.Name(), tenant)
	if err != nil {
		return Session{}, fmt.Errorf("billing: portal: customer: %w", err)
	}
	return b.provider.Portal(ctx, PortalSpec{Customer: customer, ReturnURL: r.ReturnURL})
}

// customer finds or makes the tenant's customer, under the checkout's key. A key made of the tenant alone
// would give two programs on one account, both with a tenant "1", the same customer, and would repeat a
// failure that the provider remembers. The price: two first checkouts at once, or a crash before
// SaveCustomer, may leave a customer behind that nobody uses.
func (b *Billing) customer(ctx context.Context, tenant, key string) (string, error) {
	id, err := b.store.Customer(ctx, b.provider.Name(), tenant)
	if err == nil {
		return id, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return "", fmt.Errorf("billing: read customer: %w", err)
	}
	id, err = b.provider.Customer(ctx, CustomerSpec{Tenant: tenant, Key: idempotencyKey("customer", tenant, key)})
	if err != nil {
		return "", err
	}
	bound, err := b.store.SaveCustomer(ctx, b.provider.Name(), tenant, id)
	if err != nil {
		return "", fmt.Errorf("billing: save customer: %w", err)
	}
	return bound, nil
}

// idempotencyKey joins parts unambiguously into at most 255 characters that tell nothing.
func idempotencyKey(op string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return "ashlar_" + op + "_" + hex.EncodeToString(h.Sum(nil)[:20])
}

func checkURL(field, raw string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("%w: %s is not an absolute http(s) URL", ErrInvalid, field)
	}
	return nil
}
