package billingtest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ashlar-go/ashlar/billing"
)

// Features says how an implementation under test differs. The zero value is one in memory that does all.
type Features struct {
	// Real: it does I/O, so cases run in parallel on the wall clock and not each in a synctest bubble.
	Real bool
	// AnyPrice: the provider sells prices it has not heard of. Only the fake may.
	AnyPrice bool
}

// Plans is the small catalogue the suites use; a provider under test must have its prices.
func Plans() billing.Catalog {
	return billing.Catalog{
		Default:  "free",
		Features: []billing.Feature{billing.Flag("sso"), billing.Quota("projects")},
		Plans: []billing.Plan{
			{ID: "free", Name: "Free", Grants: billing.Grants{"projects": 3}},
			{
				ID: "pro", Name: "Pro", Grants: billing.Grants{"projects": 50},
				Prices: []billing.Price{billing.Flat(29_00, "USD", billing.Monthly), billing.Flat(290_00, "USD", billing.Yearly)},
			},
			{
				ID: "team", Name: "Team", TrialDays: 14, Grants: billing.Grants{"projects": billing.Unlimited, "sso": billing.On},
				Prices: []billing.Price{billing.Flat(99_00, "USD", billing.Monthly)},
			},
		},
	}
}

// states are all, in an order in which each can follow the one before.
var states = []billing.State{
	billing.StateTrialing, billing.StateActive, billing.StatePastDue, billing.StateUnpaid, billing.StatePaused, billing.StateCanceled,
}

// in runs body as a subtest, in a bubble or for real.
func (f Features) in(t *testing.T, name string, body func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		if f.Real {
			body(t)
			return
		}
		synctest.Test(t, body)
	})
}

// past is a time that every store keeps exactly.
func past(d time.Duration) time.Time { return time.Now().UTC().Truncate(time.Microsecond).Add(-d) }
