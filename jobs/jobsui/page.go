package jobsui

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

//go:embed assets
var assets embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"ago": ago, "number": number, "utc": utc, "span": span, "progress": progressOf,
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

// show renders a page of a queue, or of all.
func (d *dashboard) show(w http.ResponseWriter, r *http.Request, f *frame, name string, status int) {
	if f.Queue != "" {
		for _, t := range []tab{{Label: "Overview", URL: "./"}, {Label: "Jobs", URL: "jobs"}, {Label: "Tenants", URL: "tenants"}} {
			t.Active = t.Label == f.Title || t.Label == "Jobs" && name == "job"
			f.Tabs = append(f.Tabs, t)
		}
	}
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

// broken answers a page whose data could not be read.
func (d *dashboard) broken(w http.ResponseWriter, r *http.Request, f *frame, err error) {
	d.opts.logger().ErrorContext(r.Context(), "jobsui: queue not readable", "queue", f.Queue, "path", r.URL.Path, "error", err)
	f.Title = "Not readable"
	d.show(w, r, f, "broken", http.StatusBadGateway)
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

// see leads the browser to a page after a change, relative to this one, so
// that it works under any mount point.
func see(w http.ResponseWriter, page string) {
	w.Header().Set("Location", page)
	w.WriteHeader(http.StatusSeeOther)
}
