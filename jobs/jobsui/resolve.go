package jobsui

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ashlar-go/ashlar/jobs"
)

const (
	maxForm = 1 << 20
	maxBulk = 1000 // jobs that one press of a button changes
)

// confirmPage asks before a button acts on many jobs.
type confirmPage struct {
	Heading, Text string
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
	ids := form["id"]
	if strings.HasSuffix(form.Get("action"), "-all") {
		ids = nil // what is ticked does not narrow it
		found, next, err := q.Search(r.Context(), s.Filter, 0, maxBulk)
		if err != nil {
			d.broken(w, r, f, err)
			return
		}
		if form.Get("sure") == "" {
			d.confirm(w, r, f, s, name, len(found), next >= 0)
			return
		}
		for _, e := range found {
			ids = append(ids, e.Info.ID)
		}
	}
	if len(ids) > maxBulk {
		http.Error(w, fmt.Sprintf("at most %d jobs at a time", maxBulk), http.StatusBadRequest)
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

// confirm asks whether a button is meant for so many jobs.
func (d *dashboard) confirm(w http.ResponseWriter, r *http.Request, f *frame, s selection, name string, count int, more bool) {
	buttons := d.actionsFor(r, s.State)
	i := slices.IndexFunc(buttons, func(a action) bool { return a.Name == name })
	if i < 0 {
		http.Error(w, "jobs of this state do not allow that", http.StatusBadRequest)
		return
	}
	p := confirmPage{
		Label: buttons[i].Label + " " + plural("1 job", "%d jobs", count), Action: name + "-all", To: "jobs", Back: s.ListURL(),
		Text:   "They are the jobs that are " + string(s.State),
		Fields: map[string]string{"state": string(s.State), "kind": s.Kind, "tenant": s.Tenant},
	}
	if s.Retried {
		p.Text += " and ran before"
		p.Fields["retried"] = "1"
	}
	if s.Kind != "" {
		p.Text += ", of the kind " + s.Kind
	}
	if s.Tenant != "" {
		p.Text += ", of the tenant " + s.Tenant
	}
	p.Text += "."
	if more {
		p.Text += " There are more: one press changes these " + number(count) + "."
	}
	p.Heading = p.Label + "?"
	f.Title, f.Page = "Jobs", p
	d.show(w, r, f, "confirm", http.StatusOK)
}
