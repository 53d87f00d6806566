package billingtest

import (
	"log/slog"
	"testing"

	"github.com/ashlar-go/ashlar/billing"
)

// New returns a Billing on a new [Provider] and [Store], with the webhooks connected: once
// Provider.Complete or Provider.Update returns, Can knows. A nil opts means a single tenant. Programs
// call [NewProvider] and [NewStore].
func New(t testing.TB, plans billing.Catalog, opts *billing.Options) (*billing.Billing, *Provider) {
	t.Helper()
	p := NewProvider(&ProviderOptions{ReturnURL: "https://app.invalid/billing"})
	var o billing.Options
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	b, err := billing.New(plans, p, NewStore(), &o)
	if err != nil {
		t.Fatal(err)
	}
	p.Connect(b.Webhook())
	return b, p
}
