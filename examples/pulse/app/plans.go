package app

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ashlar-go/ashlar/billing"
	"github.com/ashlar-go/ashlar/tenancy"
	"github.com/ashlar-go/ashlar/tenancy/registry"
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

// requestRate is how many requests a minute a team may make of the API: its plan's, or a number of its own. What comes from
// one address is limited before, see web.Limits; who has more than that needs several.
var requestRate = registry.Setting[int64]{
	Name: "api.requests_per_minute", Default: 600, Plans: map[string]int64{"pro": 6000},
	Check: func(n int64) error {
		if n < 1 || n > 1_000_000 {
			return errors.New("want 1 to 1000000 requests a minute")
		}
		return nil
	},
}

// RequestsPerMinute is how many requests the team of ctx may make of the API. It is remembered, since each request asks, so
// a change takes up to 15 seconds to be seen.
func (a *App) RequestsPerMinute(ctx context.Context) (int64, error) {
	text, _, _, err := a.Hub.GetOrLoad(ctx, "requests-per-minute", 15*time.Second, 0, nil, func(ctx context.Context) ([]byte, error) {
		c, err := a.Registry.Config(ctx)
		if err != nil {
			return nil, err
		}
		plan, err := a.Billing.Plan(ctx)
		if err != nil {
			return nil, err
		}
		c.Tenant.Plan = plan.ID // pulse's plans are billing's; the registry is not told
		n, err := requestRate.Get(c)
		return strconv.AppendInt(nil, n, 10), err
	})
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(string(text), 10, 64)
}

// usage counts what a team has, inside the unit of work that is about to add
// to it where there is one.
func (a *App) usage(ctx context.Context, feature string) (int64, error) {
	if feature != featureMonitors {
		return 0, nil
	}
	return tenancy.One[int64](ctx, a.DB, `select count(*) from pulse.monitors where tenant_id = $1`, team(ctx))
}
