package jobsui

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

// sampled is how many jobs of a state the tenants' page looks at.
const sampled = 500

// tenantRow is how a tenant fares.
type tenantRow struct {
	Tenant  string
	Running int
	Turns   int // among the next ones
	Parked  int
	Share   int // of the next turns, per cent
	Paused  bool
	Limit   jobs.Limit
	Own     bool // the limit is its own
	Weight  int
}

// tenantsPage is the dot of the tenants' page.
type tenantsPage struct {
	Rows                          []tenantRow
	Turns                         int
	Control                       jobs.Control
	CanPause, CanResume, CanLimit bool
}

// tenants shows whose jobs run, whose turn comes next, and who is held back.
func (d *dashboard) tenants(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	control, err := q.Control(r.Context())
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	p := tenantsPage{
		Control:  control,
		CanPause: d.opts.allow(r, "pause"), CanResume: d.opts.allow(r, "resume"), CanLimit: d.opts.allow(r, "limit"),
	}
	rows := map[string]*tenantRow{}
	row := func(tenant string) *tenantRow {
		if rows[tenant] == nil {
			rows[tenant] = &tenantRow{Tenant: tenant, Weight: 1, Limit: control.EachTenant}
		}
		return rows[tenant]
	}
	for state, count := range map[jobs.State]func(*tenantRow){
		jobs.Running: func(t *tenantRow) { t.Running++ },
		jobs.Parked:  func(t *tenantRow) { t.Parked++ },
		jobs.Ready:   func(t *tenantRow) { t.Turns++; p.Turns++ },
	} {
		entries, err := q.List(r.Context(), state, 0, sampled)
		if err != nil {
			d.broken(w, r, f, err)
			return
		}
		for _, e := range entries {
			count(row(e.Info.Tenant))
		}
	}
	for _, t := range control.PausedTenants {
		row(t).Paused = true
	}
	for t, limit := range control.Tenants {
		row(t).Limit, row(t).Own = limit, true
	}
	for t, weight := range control.Weights {
		row(t).Weight = weight
	}
	for _, t := range rows {
		if p.Turns > 0 {
			t.Share = (100*t.Turns + p.Turns/2) / p.Turns
		}
		p.Rows = append(p.Rows, *t)
	}
	slices.SortFunc(p.Rows, func(a, b tenantRow) int {
		if busy := (b.Running + b.Turns + b.Parked) - (a.Running + a.Turns + a.Parked); busy != 0 {
			return busy
		}
		return strings.Compare(a.Tenant, b.Tenant)
	})
	f.Title, f.Page = "Tenants", p
	d.show(w, r, f, "tenants", http.StatusOK)
}

// periods are what a rate may be counted by: the usual ones, and its own.
func periods(own time.Duration) []time.Duration {
	all := []time.Duration{time.Second, time.Minute, time.Hour}
	if own > 0 && !slices.Contains(all, own) {
		all = append(all, own)
	}
	return all
}

// control pauses, resumes and limits.
func (d *dashboard) control(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	form, name, ok := d.form(w, r, "pause", "resume", "limit")
	if !ok {
		return
	}
	target := jobs.Target{Tenant: form.Get("tenant"), Kind: strings.TrimSpace(form.Get("kind")), EachTenant: form.Get("each") != "", Queue: form.Get("queue") != ""}
	if target == (jobs.Target{}) {
		http.Error(w, "the form does not say what it is for", http.StatusBadRequest)
		return
	}
	var err error
	switch name {
	case "pause":
		err = q.Pause(r.Context(), target)
	case "resume":
		err = q.Resume(r.Context(), target)
	case "limit":
		limit, weight, bad := limitOf(form)
		if bad != nil {
			http.Error(w, "a limit, burst or weight is a number of at least 1, or empty for none", http.StatusBadRequest)
			return
		}
		if err = q.SetLimit(r.Context(), target, limit); err == nil && weight > 0 && target.Tenant != "" {
			err = q.SetWeight(r.Context(), target.Tenant, weight)
		}
	}
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	d.opts.logger().InfoContext(r.Context(), "jobsui: control changed", "queue", f.Queue, "action", name)
	page := template.URL("./")
	if target.Tenant != "" || target.EachTenant {
		page = "tenants"
	}
	see(w, page, name)
}

// limitOf reads the fields of a limit, and of a weight where there is one.
func limitOf(form url.Values) (l jobs.Limit, weight int, err error) {
	var errs [5]error
	l.Running, errs[0] = amount(form.Get("running"))
	l.Rate, errs[1] = amount(form.Get("rate"))
	weight, errs[2] = amount(form.Get("weight"))
	if l.Rate > 0 {
		l.Burst, errs[3] = amount(form.Get("burst"))
		if per := form.Get("per"); per != "" {
			l.Per, errs[4] = time.ParseDuration(per)
		}
	}
	return l, weight, errors.Join(errs[:]...)
}

// amount reads a number of a form; an empty field is none.
func amount(s string) (int, error) {
	if s = strings.TrimSpace(s); s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err == nil && n < 1 {
		err = strconv.ErrRange
	}
	return n, err
}
