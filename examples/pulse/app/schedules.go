package app

import (
	"context"
	"errors"
	"strings"

	"github.com/ashlar-go/ashlar/examples/pulse/uptime"
	"github.com/ashlar-go/ashlar/jobs"
	"github.com/ashlar-go/ashlar/tenancy"
)

// ScheduleChecks makes the schedule of a monitor's checks what the monitor
// asks for, and removes it with the monitor. Whoever adds, changes or removes a
// monitor enqueues one in the same transaction.
type ScheduleChecks struct {
	Check CheckMonitor `json:"check"`
}

// Kind is the name of the job.
func (ScheduleChecks) Kind() string { return "pulse.schedule" }

// Reconcile schedules the checks of all monitors, a page at a time: those of a
// queue that has lost its schedules, or that never had them. It belongs to no
// team. A schedule whose monitor is gone needs no help: its next check removes
// it.
type Reconcile struct {
	Tenant  string `json:"tenant,omitempty"`  // the page begins behind this team's
	Monitor string `json:"monitor,omitempty"` // monitor
}

// Kind is the name of the job.
func (Reconcile) Kind() string { return "pulse.reconcile" }

// JobOptions makes two processes that start at once share the work, and lets
// checks go first.
func (r Reconcile) JobOptions() jobs.EnqueueOptions {
	return jobs.EnqueueOptions{Key: "reconcile/" + r.Tenant + "/" + r.Monitor, Priority: jobs.PriorityLow, NoTenant: true}
}

// scheduleChecks looks at the monitor as it is now, so such jobs may come late,
// twice and in any order. It looks again after it has written, because the
// monitor may have been changed or removed in between.
func (a *App) scheduleChecks(ctx context.Context, job ScheduleChecks) error {
	name := job.Check.schedule()
	for spec := ""; ; {
		m, err := findMonitor(ctx, a.DB, job.Check.Monitor)
		if errors.Is(err, ErrNotFound) {
			_, err := a.Queue.Unschedule(ctx, name)
			return err
		}
		if err != nil || spec == every(m) {
			return err
		}
		spec = every(m)
		// The jitter spreads the checks of all monitors over their interval.
		err = a.Queue.Schedule(ctx, name, spec, job.Check, &jobs.CronOptions{Jitter: m.Interval})
		if err != nil {
			return err
		}
	}
}

// every is how often a monitor is checked, as an expression.
func every(m *uptime.Monitor) string { return "@every " + m.Interval.String() }

// schedule is the name of the monitor's schedule: the id makes it its own, the
// rest is for operators.
func (c CheckMonitor) schedule() string {
	words := strings.FieldsFunc(c.Name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.'
	})
	name := strings.Join(words, "-")
	name = strings.Trim(name[:min(len(name), 40)], "-.")
	if name == "" {
		name = "monitor"
	}
	return name + "/" + c.Monitor
}

// reconcilePage is the number of monitors that one job looks at.
const reconcilePage = 100

func (a *App) reconcile(ctx context.Context, from Reconcile) error {
	type row struct{ Tenant, Monitor, Name string }
	page, err := tenancy.All[row](tenancy.System(ctx, "compare the monitors with their schedules"), a.DB,
		`select tenant_id as tenant, id as monitor, name from pulse.monitors
		where (tenant_id, id) > ($1, $2) order by tenant_id, id limit $3`, from.Tenant, from.Monitor, reconcilePage)
	if err != nil {
		return err
	}
	if len(page) == reconcilePage {
		// First of all, so that a page that fails does not keep the others waiting.
		last := page[len(page)-1]
		if _, err := a.Queue.Enqueue(ctx, Reconcile{Tenant: last.Tenant, Monitor: last.Monitor}, nil); err != nil {
			return err
		}
	}
	for _, m := range page {
		check := CheckMonitor{Monitor: m.Monitor, Name: m.Name}
		err = errors.Join(err, a.scheduleChecks(tenancy.WithID(ctx, m.Tenant), ScheduleChecks{Check: check}))
	}
	return err
}
