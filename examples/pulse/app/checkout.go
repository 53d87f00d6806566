package app

import (
	"context"

	"github.com/ashlar-go/ashlar/billing"
)

// CheckoutIn asks to buy a plan.
type CheckoutIn struct {
	Plan string `json:"plan"`
}

// CheckoutOut is where to pay.
type CheckoutOut struct {
	URL string `json:"url"`
}

// Checkout opens a page where the team buys a plan.
func (a *App) Checkout(ctx context.Context, in CheckoutIn) (CheckoutOut, error) {
	s, err := a.Billing.Checkout(ctx, billing.CheckoutRequest{Plan: in.Plan, SuccessURL: a.Base + "/", CancelURL: a.Base + "/"})
	return CheckoutOut{URL: s.URL}, err
}

// PlanOut is the plan of a team.
type PlanOut struct {
	Plan     string `json:"plan"`
	Monitors int64  `json:"monitors"` // how many it allows
	Checks   int64  `json:"checks_per_hour"`
}

// Plan returns the plan in force.
func (a *App) Plan(ctx context.Context, _ None) (PlanOut, error) {
	p, err := a.Billing.Plan(ctx)
	return PlanOut{Plan: p.ID, Monitors: int64(p.Grants[featureMonitors]), Checks: int64(p.Grants[featureRate])}, err
}
