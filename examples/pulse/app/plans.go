package app

import (
	"context"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/tenancy"
)

// The features that plans limit.
const (
	featureMonitors = "monitors"
	featureRate     = "checks_per_hour" // of one monitor: its interval, as a quota
)

func catalog() billing.Catalog {
	return billing.Catalog{
		Features: []billing.Feature{billing.Quota(featureMonitors), billing.Quota(featureRate)},
		Plans: []billing.Plan{
			{ID: "free", Name: "Free", Grants: billing.Grants{featureMonitors: 2, featureRate: 720}},
			{
				ID: "pro", Name: "Pro", Grants: billing.Grants{featureMonitors: 50, featureRate: 3600},
				Prices: []billing.Price{{Key: "pulse_pro_monthly", Money: billing.Money{Amount: 1900, Currency: "EUR"}, Interval: billing.Monthly}},
			},
		},
		Default: "free",
	}
}

// usage counts what a team has, inside the unit of work that is about to add
// to it where there is one.
func (a *App) usage(ctx context.Context, feature string) (int64, error) {
	if feature != featureMonitors {
		return 0, nil
	}
	return tenancy.One[int64](ctx, a.DB, `select count(*) from pulse.monitors where tenant_id = $1`, team(ctx))
}
