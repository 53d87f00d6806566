package jobsui

import (
	"bytes"
	"embed"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": ago, "number": number, "utc": utc, "span": span, "progress": progressOf,
	"lease": lease, "moment": moment, "shortly": shortly, "title": title, "periods": periods, "per": per, "add": func(a, b int) int { return a + b },
}).ParseFS(assets, "assets/*.html"))

// frame is what every page has around its content.
type frame struct {
	Title  string
	Root   template.URL // the way up to the overview: "", "../"
	Names  []string     // of the queues
	Queue  string       // of this page; empty on the overview
	Notice string       // what the button that led here did
	Now    time.Time
	Tabs   []tab
	Page   any
}

type tab struct {
	Label  string
	URL    template.URL
	Active bool
}

func (d *dashboard) frame(r *http.Request) *frame {
	depth := strings.Count(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return &frame{
		Root:   template.URL(strings.Repeat("../", depth)),
		Names:  d.names,
		Notice: notice(r.URL.Query().Get("done")),
		Now:    time.Now().UTC(),
	}
}

// tabs puts those of a queue around a page of a title.
func (f *frame) tabs(title string) {
	if f.Queue == "" {
		return
	}
	for _, t := range []tab{
		{Label: "Overview", URL: "./"}, {Label: "Jobs", URL: "jobs"}, {Label: "Schedules", URL: "schedules"},
		{Label: "Flows", URL: "flows"}, {Label: "Tenants", URL: "tenants"}, {Label: "Workers", URL: "workers"},
	} {
		t.Active = t.Label == title || t.Label == title+"s"
		f.Tabs = append(f.Tabs, t)
	}
}

// show renders a page of a queue, or of all.
func (d *dashboard) show(w http.ResponseWriter, r *http.Request, f *frame, name string, status int) {
	f.tabs(f.Title)
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, f); err != nil {
		d.opts.logger().ErrorContext(r.Context(), "jobsui: page not rendered", "page", name, "error", err)
		http.Error(w, "the page cannot be shown; see the log", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader may have gone
}

// brokenPage is the dot of a page that could not be made.
type brokenPage struct {
	Change  bool // it was to change something
	Missing bool // the driver cannot
}

// broken answers a page whose data could not be read, or a change that was not
// made.
func (d *dashboard) broken(w http.ResponseWriter, r *http.Request, f *frame, err error) {
	d.opts.logger().ErrorContext(r.Context(), "jobsui: queue not readable", "queue", f.Queue, "path", r.URL.Path, "error", err)
	d.sorry(w, r, f, err)
}

// sorry shows that something failed that is in the log already.
func (d *dashboard) sorry(w http.ResponseWriter, r *http.Request, f *frame, err error) {
	p, status := brokenPage{Change: r.Method == http.MethodPost, Missing: errors.Is(err, errors.ErrUnsupported)}, http.StatusBadGateway
	if p.Missing {
		status = http.StatusNotImplemented
	}
	f.Title, f.Page = "Not possible", p
	d.show(w, r, f, "broken", status)
}

// form reads the form of a change and its action, which is one of names and
// allowed. Otherwise it answers itself.
func (d *dashboard) form(w http.ResponseWriter, r *http.Request, names ...string) (form url.Values, name string, ok bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form is too large or not readable", http.StatusBadRequest)
		return nil, "", false
	}
	form, name = r.PostForm, strings.TrimSuffix(r.PostForm.Get("action"), "-all")
	switch {
	case !slices.Contains(names, name):
		http.Error(w, "unknown action", http.StatusBadRequest)
	case !d.opts.allow(r, name):
		http.Error(w, "not allowed", http.StatusForbidden)
	default:
		return form, name, true
	}
	return nil, "", false
}

// asset serves the style sheet and the script; the patterns of the mux say that
// nothing else is served.
func asset() http.Handler {
	files, err := fs.Sub(assets, "assets")
	if err != nil {
		panic(err) // the name is a constant
	}
	return http.FileServerFS(files)
}

// see leads the browser to a page, relative to this one, so that it works under
// any mount point. There it reads what was done, see notice.
func see(w http.ResponseWriter, page template.URL, done string) {
	to := string(page)
	if done != "" {
		sign := "?"
		if strings.Contains(to, "?") {
			sign = "&"
		}
		to += sign + "done=" + done
	}
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
