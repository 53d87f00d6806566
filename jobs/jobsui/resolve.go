package jobsui

import (
	"context"
	"fmt"
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

// confirmPage asks before a button acts on all jobs of a filter.
type confirmPage struct {
	selection
	Action action
	Count  int
	More   bool // there are more than one press changes
}

// resolve requeues, cancels or deletes jobs: those that are ticked, or all
// that a filter selects.
func (d *dashboard) resolve(w http.ResponseWriter, r *http.Request, f *frame, q *jobs.Queue) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form is too large or not readable", http.StatusBadRequest)
		return
	}
	name, all := strings.CutSuffix(r.PostForm.Get("action"), "-all")
	s := selectionOf(r.PostForm)
	change := map[string]func(context.Context, ...string) (int, error){
		"requeue": q.Requeue, "cancel": q.Cancel, "delete": q.Delete,
	}[name]
	if change == nil {
		http.Error(w, "unknown action", http.StatusBadRequest)
		return
	}
	if !d.opts.allow(r, name) {
		http.Error(w, "not allowed", http.StatusForbidden)
		return
	}
	ids := r.PostForm["id"]
	if all {
		ids = nil // what is ticked does not narrow it
		found, next, err := q.Search(r.Context(), s.Filter, 0, maxBulk)
		if err != nil {
			d.broken(w, r, f, err)
			return
		}
		if r.PostForm.Get("sure") == "" {
			buttons := d.actionsFor(r, s.State)
			i := slices.IndexFunc(buttons, func(a action) bool { return a.Name == name })
			if i < 0 {
				http.Error(w, "jobs of this state cannot be "+notice(name+".2"), http.StatusBadRequest)
				return
			}
			f.Title, f.Page = "Jobs", confirmPage{selection: s, Action: buttons[i], Count: len(found), More: next >= 0}
			d.show(w, r, f, "confirm", http.StatusOK)
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
	n, err := change(r.Context(), ids...)
	if err != nil {
		d.broken(w, r, f, err)
		return
	}
	d.opts.logger().InfoContext(r.Context(), "jobsui: jobs changed", "queue", f.Queue, "action", name, "jobs", n)
	s.Offset = 0
	see(w, string(s.ListURL())+"&done="+name+"."+strconv.Itoa(n))
}
