package devinbox

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

//go:embed assets
var assets embed.FS

const (
	pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	// The mail itself: no script, no form, nothing from the network; its links open
	// in a new tab.
	mailPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; " +
		"img-src data:; font-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'self'"
	maxListed = 500
)

func (in *Inbox) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", in.page)
	mux.HandleFunc("GET /list", in.list)
	mux.HandleFunc("GET /message.html", in.mail)
	mux.HandleFunc("GET /messages.json", in.json)
	mux.HandleFunc("GET /style.css", asset("assets/style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /app.js", asset("assets/app.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("POST /clear", in.clear)
	return mux
}

// ServeHTTP serves the pages below the path where the inbox is mounted with
// http.StripPrefix, or the root.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if r.URL.Path == "" { // "/inbox" itself: relative links need the final slash
		u, err := url.ParseRequestURI(r.RequestURI)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		h.Set("Location", "/"+strings.Trim(u.EscapedPath(), "/")+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	}
	in.mux.ServeHTTP(w, r)
}

// filter is what the query parameters select.
type filter struct{ to, kind, tenant, channel, q string }

func filterOf(q url.Values) filter {
	return filter{
		to: q.Get("to"), kind: q.Get("kind"), tenant: q.Get("tenant"), channel: q.Get("channel"),
		q: strings.ToLower(strings.TrimSpace(q.Get("q"))),
	}
}

func (f filter) match(m Message) bool {
	exact := func(want, got string) bool { return want == "" || want == got }
	if !exact(f.to, m.To) || !exact(f.kind, m.Kind) || !exact(f.tenant, m.Tenant) || !exact(f.channel, string(m.Channel)) {
		return false
	}
	for _, field := range []string{m.Subject, m.To, m.Name, m.Text, m.HTML, m.Kind, m.Tenant} {
		if strings.Contains(strings.ToLower(field), f.q) {
			return true
		}
	}
	return false
}

func (in *Inbox) json(w http.ResponseWriter, r *http.Request) {
	limit := maxListed
	if s := r.FormValue("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxListed {
			http.Error(w, fmt.Sprintf("limit must be a number from 1 to %d", maxListed), http.StatusBadRequest)
			return
		}
		limit = n
	}
	all := in.Messages()
	f := filterOf(r.URL.Query())
	found := slices.DeleteFunc(slices.Clone(all), func(m Message) bool { return !f.match(m) })
	var out struct {
		Total    int       `json:"total"`
		Messages []Message `json:"messages"`
	}
	out.Total, out.Messages = len(all), found[:min(limit, len(found))]
	if out.Messages == nil {
		out.Messages = []Message{}
	}
	body, err := json.Marshal(out)
	if err != nil {
		http.Error(w, "the messages cannot be encoded", http.StatusInternalServerError)
		return
	}
	reply(w, r, http.StatusOK, "application/json", append(body, '\n'))
}

func (in *Inbox) mail(w http.ResponseWriter, r *http.Request) {
	m, ok := in.find(r.FormValue("m"))
	if !ok || m.HTML == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", mailPolicy)
	w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	// A second doctype or base element in the mail is ignored by browsers.
	reply(w, r, http.StatusOK, "text/html; charset=utf-8", []byte(`<!doctype html><base target="_blank">`+m.HTML))
}

func (in *Inbox) find(id string) (Message, bool) {
	list := in.Messages()
	i := slices.IndexFunc(list, func(m Message) bool { return m.ID == id })
	if i < 0 {
		return Message{}, false
	}
	return list[i], true
}

func (in *Inbox) page(w http.ResponseWriter, r *http.Request) { in.render(w, r, "page") }

// list is the part of the page that refreshes itself.
func (in *Inbox) list(w http.ResponseWriter, r *http.Request) { in.render(w, r, "list") }

func (in *Inbox) render(w http.ResponseWriter, r *http.Request, name string) {
	var b bytes.Buffer
	v := newView(in.Messages(), r.URL.Query())
	if err := pages.ExecuteTemplate(&b, name, v); err != nil {
		in.opts.logger().ErrorContext(r.Context(), "devinbox: page", "error", err)
		http.Error(w, "the page cannot be shown; see the log", http.StatusInternalServerError)
		return
	}
	status := http.StatusOK
	if v.Missing && name == "page" {
		status = http.StatusNotFound
	}
	reply(w, r, status, "text/html; charset=utf-8", b.Bytes())
}

func (in *Inbox) clear(w http.ResponseWriter, r *http.Request) {
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, "refused: the request comes from another site", http.StatusForbidden)
		return
	}
	in.Clear()
	w.Header().Set("Location", "./")
	w.WriteHeader(http.StatusSeeOther)
}

// reply answers with an ETag, so that polling costs next to nothing.
func reply(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	sum := fnv.New64a()
	sum.Write(body)
	tag := fmt.Sprintf(`"%x"`, sum.Sum64())
	w.Header().Set("ETag", tag)
	if status == http.StatusOK && r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

func asset(name, contentType string) http.HandlerFunc {
	body, err := assets.ReadFile(name)
	if err != nil {
		panic(err) // the file is embedded: it can only be missing at build time
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		reply(w, r, http.StatusOK, contentType, body)
	}
}
