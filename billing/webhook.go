package billing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxWebhook bounds a webhook's body. Stripe's largest events are some hundred kilobytes.
const maxWebhook = 1 << 20

// Webhook returns the endpoint for the provider's webhooks. Mount it without middleware that reads
// or rewrites the body, since the signature covers the exact bytes, and without a tenant.
// It answers 204 once the state is stored or the event is none of ours, 400 to a bad signature,
// 405, 413, and 503 when the provider shall deliver again.
func (b *Billing) Webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if d := b.opts.webhookTimeout(); d > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
		outcome, status := b.receive(ctx, w, r)
		b.opts.count(ctx, "billing.webhooks", "outcome", outcome)
		if status == http.StatusMethodNotAllowed {
			w.Header().Set("Allow", http.MethodPost)
		}
		if status >= 400 {
			http.Error(w, outcome, status)
			return
		}
		w.WriteHeader(status)
	})
}

// receive handles one request and names what came of it.
func (b *Billing) receive(ctx context.Context, w http.ResponseWriter, r *http.Request) (outcome string, status int) {
	if r.Method != http.MethodPost {
		return "method", http.StatusMethodNotAllowed
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "too large", http.StatusRequestEntityTooLarge
		}
		return "unreadable", http.StatusBadRequest
	}
	e, err := b.provider.Event(r.Header, body)
	switch {
	case errors.Is(err, ErrSignature):
		// Anybody can send this, so it is counted and logged but does not page anyone.
		b.opts.logger().WarnContext(ctx, "billing: webhook refused", "error", err)
		return "bad signature", http.StatusBadRequest
	case err != nil:
		// Signed yet unreadable stays so: refusing it for days makes providers disable the endpoint.
		b.opts.report(ctx, fmt.Errorf("billing: webhook not understood: %w", err))
		return "ignored", http.StatusNoContent
	case e.ID == "" || e.Kind != KindSubscription || e.Object == "":
		return "ignored", http.StatusNoContent
	}
	e.Provider = b.provider.Name()
	outcome, err = b.follow(ctx, e)
	if err != nil {
		b.opts.report(ctx, fmt.Errorf("billing: webhook %s (%s): %w", e.ID, e.Type, err))
		return "retry", http.StatusServiceUnavailable
	}
	return outcome, http.StatusNoContent
}

// follow brings the store up to an event. The generation is taken before the fetch: whatever is fetched
// then includes the event, and a result that took longer than a younger one is fenced off by Apply.
func (b *Billing) follow(ctx context.Context, e Event) (outcome string, err error) {
	mark, err := b.store.Ingest(ctx, e)
	if err != nil {
		return "", fmt.Errorf("ingest: %w", err)
	}
	if mark.Applied >= mark.Generation {
		return "duplicate", nil
	}
	sub, err := b.provider.Subscription(ctx, e.Object)
	if errors.Is(err, ErrNotFound) {
		// A sibling environment's object on a shared account, or deleted test data: not ours to follow.
		b.opts.report(ctx, fmt.Errorf("billing: webhook %s (%s): %w", e.ID, e.Type, err))
		return "ignored", nil
	}
	if err != nil {
		return "", fmt.Errorf("fetch: %w", err)
	}
	sub.Provider = e.Provider
	change, err := b.store.Apply(ctx, sub, mark.Generation)
	if err != nil {
		return "", fmt.Errorf("apply: %w", err)
	}
	switch {
	case !change.Stored && !change.After.State.CanBecome(sub.State):
		b.opts.report(ctx, fmt.Errorf("billing: subscription %s: the provider's answer %q cannot follow %q and was not stored", sub.ID, sub.State, change.After.State))
		return "impossible", nil
	case !change.Stored:
		return "superseded", nil
	case b.catalog.planOf(sub.Price) == nil && b.catalog.plan(sub.Plan) == nil:
		b.opts.report(ctx, fmt.Errorf("billing: subscription %s: price %q is of no plan in the catalogue, so it grants nothing", sub.ID, sub.Price))
	}
	if change.Before.rank() < 2 && change.After.rank() >= 2 {
		b.reportDouble(ctx, change.After)
	}
	return "applied", nil
}

// reportDouble tells when a subscription came to life beside another of its tenant: somebody pays twice.
func (b *Billing) reportDouble(ctx context.Context, s Subscription) {
	if s.Tenant == "" {
		return
	}
	subs, err := b.store.Subscriptions(ctx, s.Provider, s.Tenant)
	if err != nil {
		b.opts.report(ctx, fmt.Errorf("billing: subscription %s: look for a second one: %w", s.ID, err))
		return
	}
	for _, other := range subs {
		if other.ID != s.ID && other.rank() >= 2 {
			b.opts.report(ctx, fmt.Errorf("billing: subscriptions %s and %s of one tenant are live: cancel and refund one", other.ID, s.ID))
			return
		}
	}
}
