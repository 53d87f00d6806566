package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/jobs/outboxjobs"
	"github.com/ashlar-go/ashlar/tenancy"
)

// Checked is the analytics event of every check.
type Checked struct {
	Monitor string
	Up      bool
	Status  int
	Seconds float64 // until the answer
	Failure string
	At      time.Time `event:",time"`
}

// checked is what the charts and the availability are computed from.
var checked = analytics.Define[Checked]("Checked")

// Sweep finds the monitors that are due. It belongs to no team.
type Sweep struct{}

// Kind is the name of the job.
func (Sweep) Kind() string { return "pulse.sweep" }

// CheckMonitor asks one URL once.
type CheckMonitor struct {
	Monitor string `json:"monitor"`
}

// Kind is the name of the job.
func (CheckMonitor) Kind() string { return "pulse.check" }

// registerJobs tells the queue what this program can do.
func (a *App) registerJobs() error {
	jobs.Handle(a.Queue, a.sweep)
	jobs.Handle(a.Queue, a.check)
	jobs.Handle(a.Queue, a.alert)
	jobs.Handle(a.Queue, a.maintain)
	return errors.Join(
		a.Queue.Cron("pulse.sweep", "@every 1s", Sweep{}, nil),
		a.Queue.Cron("pulse.maintain", "17 3 * * *", Maintain{}, nil),
	)
}

// sweep enqueues the checks that are due, each in the same transaction that
// says when the next one is: none is lost and none is doubled, whatever dies.
// A failed sweep is not tried again: the next one comes in a second.
func (a *App) sweep(ctx context.Context, _ Sweep) error {
	if err := a.sweepTeams(ctx); err != nil {
		a.Logger.WarnContext(ctx, "sweep", "error", err)
	}
	return nil
}

func (a *App) sweepTeams(ctx context.Context) error {
	teams, err := tenancy.All[string](tenancy.System(ctx, "find the teams with due checks"), a.readOnly(),
		`select distinct tenant_id from pulse.monitors where next_at <= now() limit 1000`)
	if err != nil {
		return err
	}
	for _, team := range teams {
		if e := a.sweepTeam(tenancy.WithID(ctx, team)); e != nil {
			// The others' checks are due, too.
			err = errors.Join(err, fmt.Errorf("team %s: %w", team, e))
		}
	}
	return err
}

func (a *App) sweepTeam(ctx context.Context) error {
	return a.DB.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		// The next time keeps the rhythm unless it was missed altogether.
		due, err := tenancy.All[string](ctx, tx, `update pulse.monitors
			set next_at = greatest(next_at + make_interval(secs => interval_s), now() + interval '1 second')
			where tenant_id = (select tenancy.tenant_id()) and next_at <= now() returning id`)
		for _, id := range due {
			// One check of a monitor at a time: a slow site must not pile up.
			err = errors.Join(err, outboxjobs.Enqueue(tx, CheckMonitor{Monitor: id}, &jobs.EnqueueOptions{Key: "check/" + id}))
		}
		return err
	})
}

// check asks the URL and writes down what it said.
func (a *App) check(ctx context.Context, c CheckMonitor) error {
	m, err := findMonitor(ctx, a.readOnly(), c.Monitor)
	if errors.Is(err, ErrNotFound) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	r, err := a.Prober.Check(ctx, m.URL)
	if err != nil {
		return err // our own end: the job is run again
	}
	err = checked.Track(ctx, a.Analytics, Checked{
		Monitor: m.ID, Up: r.Failure == "", Status: r.Status, Seconds: r.Latency.Seconds(), Failure: r.Failure, At: r.At,
	})
	if err != nil {
		return err
	}
	return a.record(ctx, c.Monitor, r)
}

// record applies a result to its monitor; the incident and the alert that
// follow from it are stored with it, all or nothing, in two round trips.
func (a *App) record(ctx context.Context, id string, r uptime.Result) error {
	err := a.DB.Do(ctx, func(ctx context.Context, tx *tenancy.Tx) error {
		m, err := monitors{tx}.get(ctx, id)
		if err != nil {
			return err
		}
		was := m.State
		if err := m.Record(r, uuid.Must(uuid.NewV7()).String()); err != nil {
			return err
		}
		monitors{tx}.save(m)
		if m.State != was {
			tenancy.Hooks{}.OnCommit(ctx, a.statusChanged)
		}
		return nil
	})
	if errors.Is(err, uptime.ErrOldResult) || errors.Is(err, ErrNotFound) {
		return nil
	}
	return err // tenancy.ErrStale: somebody else changed it; the job is run again
}

// statusChanged drops the cached status page. Were this process to die right
// before it, the second reader after the page's freshness would see it.
func (a *App) statusChanged(ctx context.Context) {
	if err := a.Hub.InvalidateTags(ctx, StatusTag); err != nil {
		a.Logger.WarnContext(ctx, "the status page is up to date in a moment only", "error", err)
	}
}
