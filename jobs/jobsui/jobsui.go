package jobsui

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ashlar-go/ashlar/jobs"
)

// Options configure a dashboard. A nil pointer means the zero value.
type Options struct {
	// ReadOnly leaves every button out and refuses every change. False means
	// that changes are allowed, as far as Allow says.
	ReadOnly bool

	// Allow is asked before each change and when buttons are drawn. The action
	// is one of "requeue", "cancel" (jobs and flows), "delete", "run" (a
	// schedule, now), "unschedule", "pause", "resume" (queues, tenants, kinds and
	// schedules), "limit" (weights, too). Nil means that all are allowed.
	Allow func(r *http.Request, action string) bool

	// Redact returns what is shown of a job's arguments, their JSON, or of its
	// result. It may change args in place; nil hides it. Nil means that all of
	// it is shown.
	Redact func(kind string, args []byte) []byte

	// Logger gets what could not be read or changed. Nil means slog.Default().
	Logger *slog.Logger
}

func (o *Options) logger() *slog.Logger {
	if o == nil || o.Logger == nil {
		return slog.Default()
	}
	return o.Logger
}

func (o *Options) allow(r *http.Request, action string) bool {
	switch {
	case o == nil:
		return true
	case o.ReadOnly:
		return false
	}
	return o.Allow == nil || o.Allow(r, action)
}

func (o *Options) redact(kind string, data []byte) []byte {
	if o == nil || o.Redact == nil || len(data) == 0 {
		return data
	}
	return o.Redact(kind, slices.Clone(data))
}

// dashboard is the handler.
type dashboard struct {
	queues map[string]*jobs.Queue
	names  []string // sorted
	opts   *Options
	mux    *http.ServeMux
	guard  *http.CrossOriginProtection

	stepEvery time.Duration
}

// New returns the dashboard of the queues, by the names that it shows. It is
// to be mounted with http.StripPrefix, or at the root. An error names the
// queue that is nil or whose name is empty or has a slash.
func New(queues map[string]*jobs.Queue, opts *Options) (http.Handler, error) {
	if len(queues) == 0 {
		return nil, errors.New("jobsui: no queues")
	}
	for name, q := range queues {
		if q == nil || name == "" || strings.Contains(name, "/") || name == "." || name == ".." {
			return nil, fmt.Errorf("jobsui: queue %q is nil, or its name is empty or cannot be part of a path", name)
		}
	}
	d := &dashboard{
		queues: maps.Clone(queues),
		names:  slices.Sorted(maps.Keys(queues)),
		opts:   opts,
		mux:    http.NewServeMux(),
		guard:  http.NewCrossOriginProtection(),

		stepEvery: stepEvery,
	}
	d.mux.HandleFunc("GET /{$}", d.overview)
	d.mux.Handle("GET /style.css", asset())
	d.mux.Handle("GET /app.js", asset())
	d.mux.HandleFunc("GET /{queue}/{$}", d.queue(d.summary))
	d.mux.HandleFunc("GET /{queue}/jobs", d.queue(d.list))
	d.mux.HandleFunc("GET /{queue}/job", d.queue(d.job))
	d.mux.HandleFunc("GET /{queue}/schedules", d.queue(d.schedules))
	d.mux.HandleFunc("GET /{queue}/flows", d.queue(d.flows))
	d.mux.HandleFunc("GET /{queue}/flow", d.queue(d.flow))
	d.mux.HandleFunc("GET /{queue}/tenants", d.queue(d.tenants))
	d.mux.HandleFunc("GET /{queue}/workers", d.queue(d.workers))
	d.mux.HandleFunc("POST /{queue}/jobs", d.queue(d.resolve))
	d.mux.HandleFunc("POST /{queue}/schedules", d.queue(d.schedule))
	d.mux.HandleFunc("POST /{queue}/flow", d.queue(d.endFlow))
	d.mux.HandleFunc("POST /{queue}/control", d.queue(d.control))
	return d, nil
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// ServeHTTP implements http.Handler.
func (d *dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == "" { // the mount point itself: relative links need the final slash
		u, err := url.ParseRequestURI(r.RequestURI)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h.Set("Location", "/"+strings.Trim(u.EscapedPath(), "/")+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	if err := d.guard.Check(r); err != nil {
		http.Error(w, "refused: the request comes from another site", http.StatusForbidden)
		return
	}
	d.mux.ServeHTTP(w, r)
}

// queue finds the queue that a path names.
func (d *dashboard) queue(page func(http.ResponseWriter, *http.Request, *frame, *jobs.Queue)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("queue")
		q := d.queues[name]
		if q == nil {
			http.NotFound(w, r)
			return
		}
		f := d.frame(r)
		f.Queue = name
		page(w, r, f, q)
	}
}
