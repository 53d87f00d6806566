package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ashlar-go/ashlar/jobs/driver"
)

// Target is what a pause or a limit is for: the whole queue, a tenant, the jobs
// of no tenant, each tenant, or a kind of job. Exactly one field is set; the zero
// value is an error, so that a forgotten tenant is not taken for all of them.
type Target = driver.Target

// Limit bounds how many jobs run at a time and how many start per period, over
// all processes. The zero value means no limit.
type Limit = driver.Limit

// Control is what holds the jobs of a queue back.
type Control = driver.Control

// Pause lets no more jobs of a target start, in no process, until Resume. Those
// that run go on, and those start that a worker took some milliseconds before it
// has a handler for them; new ones are stored. Schedules go on firing.
func (q *Queue) Pause(ctx context.Context, t Target) error {
	return q.configure(ctx, "pause", driver.Change{Target: t, Pause: new(true)})
}

// Resume ends a pause. Targets are independent: a tenant that is paused stays
// so when the queue is resumed.
func (q *Queue) Resume(ctx context.Context, t Target) error {
	return q.configure(ctx, "resume", driver.Change{Target: t, Pause: new(false)})
}

// SetLimit bounds the jobs of the queue, of one tenant, or of each tenant that
// has no limit of its own; kinds have none. It is stored with the queue and
// holds for all processes until it is set anew. The zero Limit lifts it.
func (q *Queue) SetLimit(ctx context.Context, t Target, l Limit) error {
	switch {
	case l.Running < 0 || l.Rate < 0 || l.Per < 0 || l.Burst < 0:
		return errors.New("jobs: limit: a field is negative")
	case l.Rate == 0 && (l.Per > 0 || l.Burst > 0):
		return errors.New("jobs: limit: Per and Burst need a Rate")
	case t.Kind != "":
		return fmt.Errorf("jobs: limit: kinds have no limits: %w", errors.ErrUnsupported)
	}
	return q.configure(ctx, "limit", driver.Change{Target: t, Limit: &l})
}

// SetWeight gives a tenant a share of the turns: with weight 3 it gets three
// where others get one. Zero means 1; 1000 is the most.
func (q *Queue) SetWeight(ctx context.Context, tenant string, weight int) error {
	if tenant == "" || weight < 0 || weight > 1000 {
		return errors.New("jobs: weight: want a tenant and 0 to 1000")
	}
	return q.configure(ctx, "weight", driver.Change{Target: Target{Tenant: tenant}, Weight: &weight})
}

// Control answers which pauses and limits are in force.
func (q *Queue) Control(ctx context.Context) (Control, error) {
	controller, ok := q.driver.(driver.Controller)
	if !ok {
		return Control{}, fmt.Errorf("jobs: control: the driver cannot: %w", errors.ErrUnsupported)
	}
	c, err := controller.Control(ctx)
	if err != nil {
		return Control{}, fmt.Errorf("jobs: control: %w", err)
	}
	return c, nil
}

func (q *Queue) configure(ctx context.Context, what string, c driver.Change) error {
	controller, ok := q.driver.(driver.Controller)
	if !ok {
		return fmt.Errorf("jobs: %s: the driver cannot: %w", what, errors.ErrUnsupported)
	}
	t, fields := c.Target, 0
	for _, set := range []bool{t.Queue, t.Tenant != "", t.NoTenant, t.EachTenant, t.Kind != ""} {
		if set {
			fields++
		}
	}
	switch {
	case fields == 0:
		return fmt.Errorf("jobs: %s: no field of Target is set; Queue means the whole queue", what)
	case fields > 1:
		return fmt.Errorf("jobs: %s: more than one field of Target is set", what)
	case t.EachTenant && c.Pause != nil:
		return fmt.Errorf("jobs: %s: EachTenant is for limits; to pause all, pause the queue", what)
	}
	if err := controller.Configure(ctx, []driver.Change{c}); err != nil {
		return fmt.Errorf("jobs: %s: %w", what, err)
	}
	return nil
}
