package jobsui

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

const (
	maxForm   = 1 << 20
	maxTicked = 1000            // jobs that one press changes by their ids
	counting  = 2 * time.Second // how long a page waits for a count
	stepEvery = time.Second     // how often a page tells how far it is
)

// confirmPage asks before a button acts on many jobs.
type confirmPage struct {
	Heading, Text string
	After         string // what will happen
	Label, Action string // of the button
	To            string // where the form goes
	Fields        map[string]string
	Back          template.URL
}

// resolve requeues, cancels or deletes jobs: those that are ticked, or all
// that a filter selects.
func (d *dashboard) resolve(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	form, name, ok := d.form(w, r, "requeue", "cancel", "delete")
	if !ok {
		return
	}
	s := selectionOf(form)
	if strings.HasSuffix(form.Get("action"), "-all") { // what is ticked does not narrow it
		buttons := d.actionsFor(r, s.State)
		i := slices.IndexFunc(buttons, func(a action) bool { return a.Name == name })
		switch {
		case i < 0:
			http.Error(w, "jobs of this state do not allow that", http.StatusBadRequest)
		case form.Get("sure") == "":
			d.confirm(w, r, f, q, s, buttons[i])
		default:
			d.resolveAll(w, r, f, q, s, buttons[i])
		}
		return
	}
	ids := form["id"]
	if len(ids) > maxTicked {
		http.Error(w, fmt.Sprintf("at most %d jobs at a time", maxTicked), http.StatusBadRequest)
		return
	}
	change := map[string]func(context.Context, ...string) (int, error){
		"requeue": q.Requeue, "cancel": q.Cancel, "delete": q.Delete,
	}[name]
	n, err := change(r.Context(), ids...)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	d.opts.logger().InfoContext(r.Context(), "jobsui: jobs changed", "queue", f.Queue, "action", name, "jobs", n)
	s.Offset = 0
	see(w, s.ListURL(), name+"."+strconv.Itoa(n))
}

// confirm asks whether a button is meant for all that a filter selects.
func (d *dashboard) confirm(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue, s selection, button action) {
	ctx, cancel := context.WithTimeout(r.Context(), counting)
	defer cancel()
	n, err := q.Count(ctx, s.Filter)
	more := n > 0 && err != nil && ctx.Err() != nil && r.Context().Err() == nil // they are too many to be counted meanwhile
	if err != nil && !more {
		d.broken(w, r, f, err)
		return
	}
	s.Offset = 0
	if n == 0 && !more {
		see(w, s.ListURL(), button.Name+".0")
		return
	}
	count := plural("1 job", "%d jobs", n)
	if more {
		count = "more than " + count
	}
	p := confirmPage{
		Label: button.Label + " " + count, Action: button.Name + "-all", To: "jobs", Back: s.ListURL(),
		Text: s.said(), After: whatHappens(button.Name, s.State),
		Fields: map[string]string{"state": string(s.State), "kind": s.Kind, "tenant": s.Tenant, "error": s.Error},
	}
	if s.Retried {
		p.Fields["retried"] = "1"
	}
	p.Heading = p.Label + "?"
	f.Title, f.Page = "Jobs", p
	d.show(w, r, f, "confirm", http.StatusOK)
}

// said is what a selection means.
func (s selection) said() string {
	text := "They are all jobs that are " + string(s.State)
	if s.Retried {
		text += " and ran before"
	}
	if s.Kind != "" {
		text += ", of the kind " + s.Kind
	}
	if s.Tenant != "" {
		text += ", of the tenant " + s.Tenant
	}
	if s.Error != "" {
		text += ", with “" + s.Error + "” in their last error"
	}
	return text + "."
}

// whatHappens tells what a button does to jobs of a state.
func whatHappens(name string, state jobs.State) string {
	switch {
	case name == "delete":
		return "They are forgotten for ever."
	case name == "cancel" && state == jobs.Running:
		return "Their handlers are told to stop; one that does not listen may finish its job."
	case name == "cancel":
		return "They are forgotten and will not run. Those that have started by then go on."
	case state == jobs.Scheduled:
		return "They run as soon as a worker is free."
	}
	return "They run again as soon as a worker is free, with all attempts before them. What dies anew meanwhile stays dead."
}

// passPage is the dot of a page that is written while its work goes on.
type passPage struct {
	Heading string
	Bulk    jobs.Bulk
	Done    string // how it ended; empty while it goes on
	Failed  string // why it ended early; empty if it did not
	Back    template.URL
}

// resolveAll changes all that a filter selects. If that takes long, the page tells
// how far it is, and the reader who leaves stops it.
func (d *dashboard) resolveAll(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue, s selection, button action) {
	change := map[string]func(context.Context, jobs.Filter, *jobs.BulkOptions) (jobs.Bulk, error){
		"requeue": q.RequeueAll, "cancel": q.CancelAll, "delete": q.DeleteAll,
	}[button.Name]
	s.Offset = 0
	p := passPage{Heading: button.Label + " all", Back: s.ListURL()}
	out := http.NewResponseController(w)
	told, streams := time.Now(), false
	tell := func(part string) {
		f.Title, f.Page = "Jobs", p
		var b bytes.Buffer
		if err := pages.ExecuteTemplate(&b, part, f); err != nil {
			d.opts.logger().ErrorContext(r.Context(), "jobsui: page not rendered", "page", part, "error", err)
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(time.Minute)) // a server's time-out is for pages that are whole at once
		_, _ = w.Write(b.Bytes())                             // a reader who has gone ends the request's context
		_ = out.Flush()                                       // without it the page comes at the end
	}
	b, err := change(r.Context(), s.Filter, &jobs.BulkOptions{AllTenants: true, Progress: func(b jobs.Bulk) {
		if time.Since(told) < d.stepEvery {
			return
		}
		p.Bulk, told = b, time.Now()
		if !streams {
			streams = true
			f.tabs("Jobs")
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			tell("pass")
		}
		tell("pass-step")
	}})
	log := d.opts.logger().With("queue", f.Queue, "action", button.Name,
		"state", s.State, "kind", s.Kind, "tenant", s.Tenant, "found", b.Found, "jobs", b.Changed, "skipped", b.Skipped)
	if err != nil {
		log.ErrorContext(r.Context(), "jobsui: not all jobs changed", "error", err)
	} else {
		log.InfoContext(r.Context(), "jobsui: jobs changed")
	}
	done := fmt.Sprintf("%s.%d.%d", button.Name, b.Changed, b.Skipped)
	switch {
	case streams:
		p.Bulk, p.Done = b, notice(done)
		switch {
		case err != nil && r.Context().Err() != nil:
			p.Failed = "the time that this program gives a request was over"
		case err != nil:
			p.Failed = "the queue's store refused it or did not answer"
		}
		tell("pass-end")
	case err != nil:
		d.sorry(w, r, f, err)
	default:
		see(w, p.Back, done)
	}
}
