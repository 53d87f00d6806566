package stripebilling_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/billing/billingtest"
	"github.com/ashlar-go/ashlar/billing/stripebilling"
	"github.com/ashlar-go/ashlar/billing/stripetest"
)

// setup is a provider against its own fake Stripe that sells billingtest.Plans.
func setup(t *testing.T, server *stripetest.Options, opts stripebilling.Options) (*stripebilling.Provider, *stripetest.Server) {
	t.Helper()
	s := stripetest.New(t, server)
	for key, amount := range map[string]int64{"pro_month_usd": 29_00, "team_month_usd": 99_00} {
		s.AddPrice(stripetest.Price{LookupKey: key, Amount: amount, Currency: "USD", Interval: "month"})
	}
	s.AddPrice(stripetest.Price{LookupKey: "pro_year_usd", Amount: 290_00, Currency: "USD", Interval: "year"})
	opts.URL = s.URL()
	if opts.WebhookSecrets == nil {
		opts.WebhookSecrets = s.WebhookSecrets()
	}
	p, err := stripebilling.New(s.Key(), &opts)
	require.NoError(t, err)
	return p, s
}

// remote is the suite's view of the fake Stripe.
type remote struct{ *stripetest.Server }

func (r remote) SetState(id string, s billing.State) error {
	return r.Update(id, func(sub *stripetest.Subscription) { sub.Status = string(s) })
}

func (r remote) Deliveries() (ds []billingtest.Delivery) {
	for _, d := range r.Server.Deliveries() {
		ds = append(ds, billingtest.Delivery(d))
	}
	return ds
}

func (r remote) Sign(at time.Time, body []byte) billingtest.Delivery {
	return billingtest.Delivery(r.Server.Sign(at, body))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2023-10-16", "2025-03-31.basil"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			billingtest.RunProvider(t, func(t *testing.T) (billing.Provider, billingtest.Remote) {
				p, s := setup(t, &stripetest.Options{APIVersion: version}, stripebilling.Options{})
				return p, remote{s}
			}, billingtest.Features{Real: true})
		})
	}
}
