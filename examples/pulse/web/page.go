package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"github.com/ashlar-go/ashlar/examples/pulse/app"
	"github.com/ashlar-go/ashlar/httpx"
)

//go:embed html/*.html
var pages embed.FS

var parsed = template.Must(template.New("").Funcs(template.FuncMap{
	"percent": func(share float64) string { return fmt.Sprintf("%.2f %%", share*100) },
	"headline": func(state string) string {
		return map[string]string{"operational": "All systems operational", "degraded": "Some systems are down", "down": "All systems are down"}[state]
	},
	"lasted": func(o app.Outage) string { return o.Closed.Sub(o.Opened).Round(time.Second).String() },
	"when":   func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04:05 MST") },
}).ParseFS(pages, "html/*.html"))

// The pages have a style sheet of their own inside and no script.
const policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// statusPage shows a status page to people. It refreshes itself.
func statusPage(a *app.App) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slug := r.PathValue("slug")
		status, err := a.Status(r.Context(), app.SlugRef{Slug: slug})
		if err != nil {
			httpx.WriteError(w, r, err)
			return
		}
		render(w, r, "status.html", struct {
			app.Status
			Slug string
		}{status, slug})
	})
}

// home tells a visitor what this is and how to begin.
func home(base string, o Options) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		render(w, r, "home.html", map[string]any{"Base": base, "Inbox": o.Inbox != nil, "Demo": o.Demo})
	})
}

func render(w http.ResponseWriter, r *http.Request, name string, data any) {
	var page bytes.Buffer // so that a failure is a clean 500
	if err := parsed.ExecuteTemplate(&page, name, data); err != nil {
		httpx.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", policy)
	_, _ = page.WriteTo(w) // the only error is a reader that left
}
