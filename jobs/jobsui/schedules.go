package jobsui

import (
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

const (
	schedulesPage = 100              // about how many are shown at a time
	schedulesScan = 5_000            // how many a filter looks at before it asks to go on
	shownRuns     = 4                // of the future, for each schedule
	overdue       = 15 * time.Second // a schedule of a dead process is up to ten seconds late
)

// scheduleRow is a schedule in the list.
type scheduleRow struct {
	jobs.Schedule
	Words  string // what the expression means; empty if it is hard to say
	Next   []time.Time
	Zone   *time.Location
	Bad    string       // why its next runs are not known
	Unseen bool         // in code of no process that runs
	Late   bool         // it should have fired
	Job    jobs.State   // of the job of Last; empty if there is none any more
	JobURL template.URL // of it
}

// schedulesPick is what the page of schedules shows, as it stands in its URL.
type schedulesPick struct {
	Text   string // part of a name, tenant or kind; in lower case
	Cursor string
}

func schedulesPickOf(v url.Values) schedulesPick {
	return schedulesPick{Text: strings.ToLower(strings.TrimSpace(v.Get("text"))), Cursor: v.Get("cursor")}
}

// URL is the address of the page, relative to the pages of its queue.
func (p schedulesPick) URL() template.URL {
	v := url.Values{}
	for name, value := range map[string]string{"text": p.Text, "cursor": p.Cursor} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return template.URL("schedules?" + v.Encode())
}

func (p schedulesPick) match(s jobs.Schedule) bool {
	for _, field := range []string{s.Name, s.Tenant, s.Kind} {
		if strings.Contains(strings.ToLower(field), p.Text) {
			return true
		}
	}
	return false
}

// schedulesView is the dot of the page.
type schedulesView struct {
	schedulesPick
	Rows                                       []scheduleRow
	Next                                       template.URL // empty on the last page
	CanRun, CanPause, CanResume, CanUnschedule bool
}

// schedules shows what fires when.
func (d *dashboard) schedules(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	v := schedulesView{
		schedulesPick: schedulesPickOf(r.URL.Query()),
		CanRun:        d.opts.allow(r, "run"), CanPause: d.opts.allow(r, "pause"), CanResume: d.opts.allow(r, "resume"),
		CanUnschedule: d.opts.allow(r, "unschedule"),
	}
	limit := schedulesPage
	if v.Text != "" {
		limit = 500 // fewer calls for what may be rare
	}
	cursor := v.Cursor
	for seen := 0; seen < schedulesScan && len(v.Rows) < schedulesPage; seen += limit {
		page, next, err := q.Schedules(r.Context(), cursor, limit)
		if err != nil {
			d.broken(w, r, f, err)
			return
		}
		for _, s := range page {
			if v.match(s) {
				v.Rows = append(v.Rows, newScheduleRow(f.Now, s))
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	if cursor != "" {
		v.Next = schedulesPick{Text: v.Text, Cursor: cursor}.URL()
	}
	if err := d.lastJobs(r, q, v.Rows); err != nil {
		d.broken(w, r, f, err)
		return
	}
	slices.SortFunc(v.Rows, func(a, b scheduleRow) int {
		return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Name, b.Name))
	})
	f.Title, f.Page = "Schedules", v
	d.show(w, r, f, "schedules", http.StatusOK)
}

func newScheduleRow(now time.Time, s jobs.Schedule) scheduleRow {
	row := scheduleRow{
		Schedule: s, Zone: time.UTC,
		Unseen: s.InCode && !s.Alive(now),
		Late:   !s.Due.IsZero() && now.Sub(s.Due) > overdue,
	}
	if zone, err := time.LoadLocation(s.Options.Zone); err == nil {
		row.Zone = zone
	}
	var err error
	if row.Next, err = s.Next(now, shownRuns); err != nil {
		row.Bad = err.Error()
		return row
	}
	row.Words = words(s.Spec)
	return row
}

// lastJobs looks up what became of the last ticks.
func (d *dashboard) lastJobs(r *http.Request, q *jobs.Queue, rows []scheduleRow) error {
	var ids []string
	for _, row := range rows {
		if row.LastJob != "" {
			ids = append(ids, row.LastJob)
		}
	}
	found, err := q.Find(r.Context(), ids...)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	states := map[string]jobs.State{}
	for _, job := range found {
		states[job.Info.ID] = job.State
	}
	for i := range rows {
		rows[i].Job, rows[i].JobURL = states[rows[i].LastJob], jobURL(rows[i].LastJob)
	}
	return err
}

// schedule runs, pauses, resumes or, after it has asked, removes one.
func (d *dashboard) schedule(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	form, name, ok := d.form(w, r, "run", "pause", "resume", "unschedule")
	if !ok {
		return
	}
	if name == "unschedule" && form.Get("sure") == "" {
		d.confirmUnschedule(w, r, f, form)
		return
	}
	id, done := form.Get("id"), name
	var err error
	switch name {
	case "run":
		var receipt jobs.Receipt
		if receipt, err = q.RunNow(r.Context(), id); receipt.Duplicate {
			done = "overlap"
		}
	case "pause":
		err = q.PauseSchedule(r.Context(), id)
	case "resume":
		err = q.ResumeSchedule(r.Context(), id)
	case "unschedule":
		var n int
		if n, err = q.Unschedule(r.Context(), id); err == nil && n == 0 {
			err = jobs.ErrNoSchedule
		}
	}
	switch {
	case errors.Is(err, jobs.ErrNoSchedule):
		done = "gone"
	case errors.Is(err, jobs.ErrInCode):
		done = "incode"
	case err != nil:
		d.broken(w, r, f, err)
		return
	default:
		d.opts.logger().InfoContext(r.Context(), "jobsui: schedule changed", "queue", f.Queue, "action", name, "schedule", id)
	}
	see(w, schedulesPickOf(form).URL(), done)
}

// confirmUnschedule asks whether a schedule is to be removed. What it says of
// it, the form of the list has brought along.
func (d *dashboard) confirmUnschedule(w http.ResponseWriter, r *http.Request, f *frame, form url.Values) {
	pick := schedulesPickOf(form)
	p := confirmPage{
		Heading: "Unschedule " + form.Get("name") + "?", Label: "Unschedule", Action: "unschedule", To: "schedules", Back: pick.URL(),
		Fields: map[string]string{"id": form.Get("id"), "text": pick.Text, "cursor": pick.Cursor},
		Text:   "It belongs to no tenant",
	}
	if tenant := form.Get("tenant"); tenant != "" {
		p.Text = "It belongs to the tenant " + tenant
	}
	p.Text += ". Jobs of it that are enqueued already will run, and only the program can bring it back."
	if !strings.Contains(form.Get("id"), " ") { // the id of one in code is its name alone
		p.Text = "It was in a program's code, and no process has run it for two hours. What is known of its last run is forgotten, too; " +
			"a process that still has it brings it back, from then on."
	}
	f.Title, f.Page = "Schedules", p
	d.show(w, r, f, "confirm", http.StatusOK)
}
