package driver

import (
	"context"
	"time"
)

// Controller is what a Driver may offer to hold jobs back. What it stores is
// of the queue, not of one process, and stays until it is changed.
//
// A pause or limit holds back what is not running yet. Jobs that their
// tenant's or kind's pause or limit holds are parked when their turn comes, so
// that they cost the others nothing, and come back, in their order, when it
// lets them.
type Controller interface {
	// Configure applies the changes in one step.
	Configure(ctx context.Context, changes []Change) error

	// Control answers what is in force.
	Control(ctx context.Context) (Control, error)
}

// Target is what a pause or a limit is for: exactly one field is set. A driver
// takes the zero value for the whole queue; package jobs refuses it, so that a
// tenant that somebody forgot to fill in does not stop everybody's jobs.
type Target struct {
	Queue      bool   // all of it
	Tenant     string // this one
	NoTenant   bool   // jobs that belong to no tenant
	EachTenant bool   // each tenant that has no limit of its own; jobs of no tenant together are one
	Kind       string // this one; pauses only
}

// Limit bounds jobs over all processes. The zero value means no limit.
type Limit struct {
	Running int           // most at a time
	Rate    int           // most that start per Per, evenly spread but for Burst (GCRA)
	Per     time.Duration // zero means a second
	Burst   int           // how many may start at once after a quiet time; zero means Rate
}

// Change is one change of a Control; a nil field leaves things as they are.
type Change struct {
	Target Target
	Pause  *bool
	Limit  *Limit // a rate starts afresh
	Weight *int   // a tenant's share of the turns; 1, and zero means 1; 1000 at most
}

// Control is what holds jobs back. Its maps and slices are the caller's and may
// be nil.
type Control struct {
	Paused        bool
	PausedTenants []string // sorted; "" stands for the jobs of no tenant, here and in Tenants
	PausedKinds   []string // sorted
	Limit         Limit    // of the whole queue
	EachTenant    Limit
	Tenants       map[string]Limit
	Weights       map[string]int
}
