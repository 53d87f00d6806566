package app

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"github.com/ashlar-go/ashlar/analytics"
	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/jobs"
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

// CheckMonitor asks one URL once. Each monitor has a schedule of them.
type CheckMonitor struct {
	Monitor string `json:"monitor"`
	Name    string `json:"name"` // of the monitor, for operators
}

// Kind is the name of the job.
func (CheckMonitor) Kind() string { return "pulse.check" }

// JobOptions lets one check of a monitor wait or run at a time, whoever asks
// for it: a slow site must not pile up.
func (c CheckMonitor) JobOptions() jobs.EnqueueOptions {
	return jobs.EnqueueOptions{Key: "check/" + c.Monitor, MaxAttempts: 2}
}

func checkOf(m *uptime.Monitor) CheckMonitor { return CheckMonitor{Monitor: m.ID, Name: m.Name} }

const (
	// checkRetry is when a check that failed at our own end is tried again. Its
	// key keeps the schedule's ticks out until then, so it is short.
	checkRetry = 2 * time.Second

	// checkPause is what lies between two checks of a monitor at least, however
	// often somebody asks.
	checkPause = time.Second / 2
)

// registerJobs tells the queue what this program can do.
func (a *App) registerJobs() error {
	jobs.Handle(a.Queue, a.check)
	jobs.Handle(a.Queue, a.scheduleChecks)
	jobs.Handle(a.Queue, a.reconcile)
	jobs.Handle(a.Queue, a.alert)
	jobs.Handle(a.Queue, a.maintain)
	return errors.Join(
		a.Queue.Cron("pulse.reconcile", "47 3 * * *", Reconcile{}, nil),
		a.Queue.Cron("pulse.maintain", "17 3 * * *", Maintain{}, nil),
	)
}

// check asks the URL and writes down what it said. What goes wrong at our own
// end is tried again at once, and then left to the next tick of the schedule: an
// outage must neither make us blind beyond its end nor fill the queue with dead
// checks.
func (a *App) check(ctx context.Context, c CheckMonitor) error {
	err := a.checkOnce(ctx, c)
	switch jobs.OutcomeOf(ctx, err) {
	case "failed":
		return jobs.Retry(err, checkRetry)
	case "dead":
		a.Logger.ErrorContext(ctx, "monitor not checked, left to its next tick", "monitor", c.Monitor, "error", err)
		return nil
	}
	return err
}

func (a *App) checkOnce(ctx context.Context, c CheckMonitor) error {
	m, err := findMonitor(ctx, a.readOnly(), c.Monitor)
	if errors.Is(err, ErrNotFound) { // removed: a schedule that is still there is a mistake
		_, err := a.Queue.Unschedule(ctx, c.schedule())
		return err
	}
	if err != nil {
		return err
	}
	if time.Since(m.Checked).Abs() < checkPause {
		return nil
	}
	r, err := a.Prober.Check(ctx, m.URL)
	if err != nil {
		return err
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
